// The API's documents by their own names.
import type { components } from './schema';

type Schemas = components['schemas'];
export type Machine = Schemas['Machine'];
export type Pending = Schemas['Pending'];
export type Member = Schemas['Member'];
export type Deployment = Schemas['Deployment'];
export type Image = Schemas['Image'];
export type ImageVersion = Schemas['ImageVersion'];
export type ImageStore = Schemas['ImageStore'];
export type Event = Schemas['Event'];
export type Explanation = Schemas['Explanation'];
export type BootConfig = Schemas['BootConfig'];
export type BootConfigSummary = Schemas['BootConfigSummary'];
export type SetBody = Schemas['SetBody'];
export type Preview = Schemas['Preview'];
export type Peer = Schemas['Peer'];
export type HeardSite = Schemas['HeardSite'];
export type User = Schemas['User'];
export type Webhook = Schemas['Webhook'];
export type JoinToken = Schemas['JoinToken'];
export type Activation = Schemas['Activation'];
export type LogLine = Schemas['LogLine'];
export type FactsDoc = Schemas['Facts'];
export type Rollout = Schemas['Rollout'];
export type ApiToken = Schemas['ApiToken'];
export type Certificate = Schemas['Certificate'];
export type Role = Schemas['Role'];
export type Session = Schemas['Session'];
export type AuditLine = Schemas['AuditLine'];
export type AuditOutcome = Schemas['AuditOutcome'];
export type SignedIn = Schemas['SignedIn'];
export type SignInWays = Schemas['SignInWays'];

/** A disk in a machine's facts (mesh-proto/src/facts.rs). */
export interface Disk {
  name: string;
  bytes: number;
  logical_sector_bytes: number;
  rotational: boolean;
  removable: boolean;
  model?: string | null;
  serial?: string | null;
  by_path?: string | null;
}

/** What the app reads of a machine's facts; they may hold more, and lack any of it. */
export interface Hardware {
  arch?: string;
  firmware?: string;
  secure_boot?: boolean | null;
  smbios?: { vendor?: string; product?: string; serial?: string; uuid?: string; firmware_version?: string };
  cpu?: { model?: string; sockets?: number; cores?: number; threads?: number };
  memory?: { bytes?: number };
  nics?: { name: string; mac: string; driver?: string; speed_mbps?: number; link?: boolean }[];
  disks?: Disk[];
  kernel?: string;
}
