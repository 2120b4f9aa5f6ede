// A boot config as the form has it, and as the API takes it.
import type { BootConfig, SetBody } from '../../api/types';

export interface Draft {
  type: 'os' | 'kernel' | 'ipxe';
  os: 'debian' | 'ubuntu' | 'alpine' | 'fedora' | 'flatcar' | 'custom';
  release: string;
  location: string;
  script: string;
  keys: string;
  kernel: string;
  initrds: string;
  cmdline: string;
  evidence: '' | 'fetched' | 'callback' | 'agent';
  writesDisk: boolean;
  /** Answer files stay as they are: this form does not show them. */
  answers: Record<string, string>;
}

export function emptyDraft(): Draft {
  return { type: 'os', os: 'debian', release: '', location: '', script: '', keys: '', kernel: '', initrds: '', cmdline: '', evidence: '', writesDisk: false, answers: {} };
}

/** What can be read back of a config. Of a preset the controller keeps what it made of it, not the script: that is typed anew. */
export function draftOf(config: BootConfig): Draft {
  const draft = { ...emptyDraft(), evidence: config.evidence, writesDisk: config.writes_disk };
  const program = config.program;
  if (config.preset) {
    return { ...draft, type: 'os', os: config.preset.os, release: config.preset.release ?? '', location: config.preset.location ?? '', evidence: '' };
  }
  if (program.type === 'ipxe') return { ...draft, type: 'ipxe', script: program.script, answers: config.answers };
  return { ...draft, type: 'kernel', cmdline: program.cmdline, kernel: address(program.kernel), initrds: program.initrds.map(address).join('\n'), answers: config.answers };
}

type File = { name: string; url?: string | null; sha256?: string | null };

/** A file in one line: where it is, or for one that was uploaded its name and sum. */
function address(file: File): string {
  return file.url ?? `${file.name}=${file.sha256 ?? ''}`;
}

/** `http://…/vmlinuz`, or `NAME=SHA256` of an uploaded one. */
export function fileOf(line: string): File {
  const text = line.trim();
  const uploaded = /^([^/=\s]+)=([0-9a-f]{64})$/.exec(text);
  if (uploaded) return { name: uploaded[1] ?? '', sha256: uploaded[2] };
  return { name: text.split(/[?#]/)[0]?.split('/').pop() || 'file', url: text };
}

const lines = (text: string) => text.split('\n').map((line) => line.trim()).filter(Boolean);

export function bodyOf(draft: Draft): SetBody {
  const common = { evidence: draft.evidence || null, answers: draft.answers };
  if (draft.type === 'os') {
    const { os, script } = draft;
    return { ...common, program: { type: 'os', os, script, release: draft.release || null, location: draft.location || null, ssh_keys: lines(draft.keys) } };
  }
  const writes = { writes_disk: draft.writesDisk };
  if (draft.type === 'ipxe') return { ...common, ...writes, program: { type: 'ipxe', script: draft.script } };
  return { ...common, ...writes, program: { type: 'kernel', kernel: fileOf(draft.kernel), initrds: lines(draft.initrds).map(fileOf), cmdline: draft.cmdline } };
}
