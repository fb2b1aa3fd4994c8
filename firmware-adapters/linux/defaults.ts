/**
 * How much of a machine Mesos offers where nobody says (its src/slave/containerizer/containerizer.cpp and
 * src/slave/constants.hpp): the rest is left to the system. Sizes in whole MB.
 */

export const FALLBACK_CPUS = 1;
export const FALLBACK_MEMORY_MB = 1024;
export const FALLBACK_DISK_MB = 10 * 1024;
export const DEFAULT_PORTS = [31_000, 32_000] as const;

export const BYTES_PER_MB = 1_048_576;

/** All but 1 GB where there are at least 2 GB, else half. */
export function memoryOnOffer(totalBytes: number): number {
  const total = Math.floor(totalBytes / BYTES_PER_MB);
  return total >= 2 * 1024 ? total - 1024 : Math.floor(total / 2);
}

/** All but 5 GB where there are at least 10 GB, else half. */
export function diskOnOffer(totalBytes: number): number {
  const total = Math.floor(totalBytes / BYTES_PER_MB);
  return total >= 10 * 1024 ? total - 5 * 1024 : Math.floor(total / 2);
}
