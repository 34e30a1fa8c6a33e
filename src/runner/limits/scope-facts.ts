// Apart from scope.ts, which local steps load: they load nothing of the large build of zod.
import * as z from 'zod'
import { AttemptLimits } from '../../contract/attempt.ts'

/** How many processes of that cgroup the kernel had killed for want of memory, when an attempt began. */
export const OomMark = z.object({ cgroup: z.string(), kills: z.number() })
export type OomMark = z.infer<typeof OomMark>

/** The facts that are kept of an attempt's limits, so that a later process of this runner finds what holds them. */
export const ScopeFacts = z.object({
  held_by: z.enum(['cgroup_v2', 'cgroup_v1', 'watchdog']),
  limits: AttemptLimits,
  /** The attempt's cgroups, by controller; of version 2 there is one, named `unified` (and `cpu` where that can be limited). */
  folders: z.record(z.string(), z.string()),
  /** Absent for one in cgroups of its own, or where nothing is counted. */
  oom: z.optional(OomMark),
})
export type ScopeFacts = z.infer<typeof ScopeFacts>
