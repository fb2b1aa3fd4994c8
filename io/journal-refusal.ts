import { JOURNAL_FORMAT } from './journal-format.ts';

/** Why a journal does not open. Nothing on the disk was changed. */
export interface JournalRefusal {
  /** `corrupt`: acknowledged records are damaged or missing. `newer-format`: a later version wrote it. */
  readonly refused: 'corrupt' | 'newer-format';
  readonly path: string;
  /** Byte of the file. */
  readonly position: number;
  readonly message: string;
}

export function corrupt(path: string, position: number, what: string): JournalRefusal {
  return { refused: 'corrupt', path, position, message: `${path} is damaged at byte ${position}: ${what}` };
}

export function newer(path: string, format: number): JournalRefusal {
  const message = `${path} has format ${format}; this version reads up to ${JOURNAL_FORMAT}`;
  return { refused: 'newer-format', path, position: 8, message };
}
