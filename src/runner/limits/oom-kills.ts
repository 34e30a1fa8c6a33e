import { join } from 'node:path'
import { procText } from '../../platform/proc.ts'
import { sizeText } from '../../platform/text.ts'
import { cgroupPlaces, readNumber } from './cgroups.ts'
import type { Breach } from './limiter.ts'
import type { OomMark } from './scope-facts.ts'

/**
 * Files with the kernel's count of kills, the best first: of this cgroup alone; of version 2 before Linux 5.2,
 * including those below it.
 */
const COUNTERS = ['memory.events.local', 'memory.events', 'memory.oom_control']
/** Value from which version 1 means no limit. */
const NO_LIMIT = 2 ** 60

/**
 * Assigns the processes that the kernel has killed for lack of memory in this program's own cgroup, such as the
 * container of a runner. Attempts without a cgroup of their own run there. The kernel only counts kills, so each one is
 * assigned to one attempt.
 */
export class OomKills {
  readonly #cgroup: string | undefined
  readonly #taken = new Set<string>()

  constructor(cgroup: string | undefined = ownCgroup()) {
    this.#cgroup = cgroup
  }

  /** Records the count before the first process of an attempt; undefined if nothing is counted. */
  mark(): OomMark | undefined {
    const kills = this.#cgroup === undefined ? undefined : countOf(this.#cgroup)
    return kills === undefined ? undefined : { cgroup: this.#cgroup!, kills }
  }

  /**
   * Returns a breach if the kernel has killed a process since that mark, for an attempt that nobody known has killed.
   */
  take({ cgroup, kills }: OomMark): Breach | undefined {
    for (let kill = countOf(cgroup) ?? 0; kill > kills; kill--) {
      const key = `${cgroup} ${kill}`
      if (this.#taken.has(key)) continue
      this.#taken.add(key)
      return { reason: 'oom', message: `Out of memory: the kernel killed it.${limitText(cgroup)}` }
    }
    return undefined
  }
}

const countOf = (cgroup: string): number | undefined => {
  for (const file of COUNTERS) {
    const kills = readNumber(join(cgroup, file), 'oom_kill')
    if (kills !== undefined) return kills
  }
  return undefined
}

function limitText(cgroup: string): string {
  const bytes =
    readNumber(join(cgroup, 'memory.max')) ?? readNumber(join(cgroup, 'memory.limit_in_bytes')) ?? NO_LIMIT
  return bytes < NO_LIMIT ? ` This runner and everything that it runs may use ${sizeText(bytes)}.` : ''
}

function ownCgroup(): string | undefined {
  const { v1, v2 } = cgroupPlaces(procText('self', 'mountinfo') ?? '', procText('self', 'cgroup') ?? '')
  return v1.get('memory') ?? v2
}
