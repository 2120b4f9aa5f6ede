// The question of the screen, as its address has it.
import type { AuditFilter } from '../../stores/audit.svelte';

/** By what lines are found. */
export const ASKED = ['who', 'what', 'machine', 'outcome', 'since', 'until'] as const satisfies readonly (keyof AuditFilter)[];

/** What is suggested for `what`: any kind of event can be written there, and any family with a star. */
export const FAMILIES = ['machine.*', 'boot.told', 'activation.*', 'config.*', 'deployment.*', 'rollout.*', 'image.*', 'key.*', 'user.*', 'token.*', 'session.*', 'peer.*', 'webhook.*', 'api.*', 'api.refused'];

/** What the address asks for. What makes no sense is the controller's to refuse, with its reason. */
export function filterOf(query: Record<string, string>): AuditFilter {
  return Object.fromEntries(ASKED.filter((name) => query[name]).map((name) => [name, query[name]]));
}
