import { parseBytes } from '../contract/amounts.ts'
import type { Requirements } from '../contract/attempt.ts'
import { DEFAULT_HOST, type Step, type Workflow } from '../contract/workflow.ts'

type Amounts = Pick<Requirements, 'cpus' | 'memory_bytes'>

/** The amounts that must be free for the step: what it asks for, else all that it may use. */
export const reserved = ({ resources, limits }: Step): Amounts => ({
  cpus: resources?.cpus ?? limits?.cpus,
  memory_bytes: bytesOf(resources?.memory ?? limits?.memory),
})

/** The most that a step asks for, by host; hosts of which nothing is asked are left out. */
export function largestByHost({ steps, finally: last = [], inventory }: Workflow): Map<string, Amounts> {
  const largest = new Map<string, Amounts>()
  for (const step of [...steps, ...last]) {
    const { cpus, memory_bytes } = reserved(step)
    if (cpus === undefined && memory_bytes === undefined) continue
    // A target that holds a variable may be any host.
    const anywhere = step.targets?.some((target) => target.includes('${'))
    const hosts = anywhere
      ? [DEFAULT_HOST, ...Object.keys(inventory?.hosts ?? {})]
      : (step.targets ?? [DEFAULT_HOST])
    for (const host of hosts) {
      const known = largest.get(host)
      largest.set(host, {
        cpus: greater(known?.cpus, cpus),
        memory_bytes: greater(known?.memory_bytes, memory_bytes),
      })
    }
  }
  return largest
}

const greater = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.max(a, b)

export const bytesOf = (size: string | number | undefined): number | undefined =>
  size === undefined ? undefined : parseBytes(String(size))
