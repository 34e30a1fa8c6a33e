// Separate from scope.ts, which local steps load: they must not load the large build of zod.
import * as z from 'zod'
import { AttemptLimits } from '../../contract/attempt.ts'

/** Number of processes of that cgroup that the kernel had killed for lack of memory when an attempt began. */
export const OomMark = z.object({ cgroup: z.string(), kills: z.number() })
export type OomMark = z.infer<typeof OomMark>

/** Stored facts of an attempt's limits, so that a later process of this runner finds what applies them. */
export const ScopeFacts = z.object({
  held_by: z.enum(['cgroup_v2', 'cgroup_v1', 'watchdog']),
  limits: AttemptLimits,
  /** Cgroups of the attempt by controller; version 2 has one, named `unified` (and `cpu` if that can be limited). */
  folders: z.record(z.string(), z.string()),
  /** Absent for an attempt with its own cgroups, or if nothing is counted. */
  oom: z.optional(OomMark),
})
export type ScopeFacts = z.infer<typeof ScopeFacts>
