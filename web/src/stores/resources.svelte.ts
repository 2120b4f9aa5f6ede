// The other resources, each a list.
import { all, call } from '../api/client';
import type { ApiToken, BootConfigSummary, Certificate, Deployment, HeardSite, Image, JoinToken, Member, Peer, Rollout, Session, User, Webhook } from '../api/types';
import { List } from './list.svelte';

type Cursor = string | undefined;

export const members = new List<Member>(() => all((cursor: Cursor) => call('get', '/api/v1/members', { query: { cursor } })), /^(member|machine|provider|key)\./);
export const images = new List<Image>(() => all((cursor: Cursor) => call('get', '/api/v1/images', { query: { cursor } })), /^(image|deployment)\./);
export const deployments = new List<Deployment>(() => call('get', '/api/v1/deployments', { query: { limit: 500 } }).then((page) => page.items), /^(deployment|rollout|machine)\./);
export const rollouts = new List<Rollout>(() => call('get', '/api/v1/rollouts', { query: { limit: 50 } }).then((page) => page.items), /^(deployment|rollout)\./);
export const configs = new List<BootConfigSummary>(() => all((cursor: Cursor) => call('get', '/api/v1/boot-configs', { query: { cursor } })), /^(config|activation)\./);
export const peers = new List<Peer>(() => all((cursor: Cursor) => call('get', '/api/v1/peers', { query: { cursor } })), /^peer\./);
export const heardSites = new List<HeardSite>(() => all((cursor: Cursor) => call('get', '/api/v1/heard-sites', { query: { cursor } })), /^peer\./);
export const users = new List<User>(() => all((cursor: Cursor) => call('get', '/api/v1/users', { query: { cursor } })), /^user\./);
export const webhooks = new List<Webhook>(() => all((cursor: Cursor) => call('get', '/api/v1/webhooks', { query: { cursor } })), /./);
export const apiTokens = new List<ApiToken>(() => all((cursor: Cursor) => call('get', '/api/v1/tokens', { query: { cursor } })), /^(token|user)\./);
/** No event tells of them: they change every other month, and are read once a minute. */
export const certificates = new List<Certificate>(() => all((cursor: Cursor) => call('get', '/api/v1/certificates', { query: { cursor } })), /^$/);
export const sessions = new List<Session>(() => all((cursor: Cursor) => call('get', '/api/v1/sessions', { query: { cursor } })), /^(session|user)\./);
export const joinTokens = new List<JoinToken>(() => all((cursor: Cursor) => call('get', '/api/v1/join-tokens', { query: { cursor } })), /^(join-token|key)\./);
