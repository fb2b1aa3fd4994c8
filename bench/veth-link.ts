import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** What crossed a link, both ways together, as IP sees it: with its headers, without those of Ethernet. */
export interface Crossed {
  readonly packets: number;
  readonly bytes: number;
}

/** A network of its own for one process, with one cable to this machine. */
export interface VethLink {
  /** Of this machine's end. */
  readonly address: string;
  /** Goes before a command that is to run at the far end. */
  readonly prefix: readonly string[];
  crossed(): Crossed;
  remove(): void;
}

const ETHERNET = 14;
/** Of both ends: without ARP a packet is sent to the address of its sender. */
const MAC = '02:00:00:00:00:01';

/** Lays cable `number` (0 to 250); undefined where that is not allowed, or there is no ip(8). */
export function layVethLink(number: number): VethLink | undefined {
  const name = `mesqb${process.pid % 10_000}-${number}`;
  const near = `mb${process.pid % 10_000}n${number}`;
  const far = `mb${process.pid % 10_000}f${number}`;
  // A bench that was killed leaves its cables: another one's answers must not go there.
  const net = `10.${64 + (process.pid % 128)}.${number}`;
  const address = `${net}.1`;
  const inside = ['ip', 'netns', 'exec', name];
  const run = (...argv: readonly string[]): boolean => spawnSync(argv[0] ?? '', argv.slice(1)).status === 0;
  const remove = (): void => {
    run('ip', 'link', 'del', near);
    run('ip', 'netns', 'del', name);
  };
  // Nothing but the agent's own packets: no IPv6 of the kernel's, no ARP; and every segment a packet of its own.
  const whole = ['gso_max_segs', '1', 'gro_max_size', '1500', 'address', MAC];
  const laid =
    run('ip', 'netns', 'add', name) &&
    run('ip', 'link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', name) &&
    run('sysctl', '-qw', `net.ipv6.conf.${near}.disable_ipv6=1`) &&
    run(...inside, 'sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1') &&
    run('ip', 'link', 'set', near, 'arp', 'off', 'up') &&
    run('ip', 'link', 'set', near, ...whole) &&
    run('ip', 'address', 'add', `${address}/24`, 'dev', near) &&
    run(...inside, 'ip', 'link', 'set', far, ...whole) &&
    run(...inside, 'ip', 'link', 'set', far, 'arp', 'off', 'up') &&
    run(...inside, 'ip', 'link', 'set', 'lo', 'up') &&
    run(...inside, 'ip', 'address', 'add', `${net}.2/24`, 'dev', far);
  if (!laid) {
    remove();
    return undefined;
  }
  const counter = (what: string): number => Number(readFileSync(`/sys/class/net/${near}/statistics/${what}`, 'utf8'));
  return {
    address,
    prefix: inside,
    crossed: () => {
      const packets = counter('rx_packets') + counter('tx_packets');
      return { packets, bytes: counter('rx_bytes') + counter('tx_bytes') - packets * ETHERNET };
    },
    remove,
  };
}
