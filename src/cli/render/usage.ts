import type { AttemptUsage } from '../../contract/attempt.ts'
import { durationText } from './units.ts'

interface Tried {
  usage?: AttemptUsage
}

const HOLDERS: Readonly<Record<AttemptUsage['held_by'], string>> = {
  cgroup_v2: 'cgroups (v2)',
  cgroup_v1: 'cgroups (v1)',
  watchdog: 'a watchdog',
}

/** Peak memory and CPU time of each try: `150 MB` and `1.3 s`, or `150 MB, 80 MB` where it was tried twice. */
export function usageCells(attempts: readonly Tried[]): [memory: string, cpu: string] {
  const used = attempts.flatMap(({ usage }) => usage ?? [])
  const all = (texts: (string | undefined)[]) =>
    texts.every((text) => text === undefined) ? '' : texts.map((text) => text ?? '?').join(', ')
  return [
    all(used.map(({ peak_memory_bytes: bytes }) => (bytes === undefined ? undefined : memoryText(bytes)))),
    all(used.map(({ cpu_ms: ms }) => (ms === undefined ? undefined : durationText(ms)))),
  ]
}

/** What measured them and held them to their limits, in a line; empty where nothing was measured. */
export function holdersText(attempts: readonly Tried[]): string {
  const used = attempts.flatMap(({ usage }) => usage ?? [])
  if (used.length === 0) return ''
  const holders = [...new Set(used.map(({ held_by }) => HOLDERS[held_by]))]
  const notHeld = [...new Set(used.flatMap(({ not_held }) => not_held ?? []))].map(
    (name) => name.split('_')[0],
  )
  const but = notHeld.length > 0 ? `; not held: ${notHeld.join(', ')}` : ''
  return `Measured, and held to what limits they have, by ${holders.join(' and ')}${but}.\n`
}

/** In units of 1,024, as limits are written. */
function memoryText(bytes: number): string {
  const mb = bytes / 1024 ** 2
  return mb >= 1024 ? `${(mb / 1024).toFixed(1)} GB` : `${mb.toFixed(mb < 10 ? 1 : 0)} MB`
}
