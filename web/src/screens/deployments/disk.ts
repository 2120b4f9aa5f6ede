// Which disk is meant: in words for a person, as a rule for the controller.
import type { Disk } from '../../api/types';
import { bytes } from '../../lib/format';

export function diskWords(disk: Disk): string {
  return [disk.name, bytes(disk.bytes), disk.model, disk.serial].filter(Boolean).join(' · ');
}

/** By serial where it has one, else by its place; never by the kernel's name for it, which changes. */
export function ruleOf(disk: Disk): { serial?: string; by_path?: string; model?: string; min_bytes?: number; max_bytes?: number } {
  if (disk.serial) return { serial: disk.serial };
  if (disk.by_path) return { by_path: disk.by_path };
  return { ...(disk.model ? { model: disk.model } : {}), min_bytes: disk.bytes, max_bytes: disk.bytes };
}
