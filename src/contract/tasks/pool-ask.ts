import * as z from 'zod'
import { DataAnswer, DataAsk } from '../bots/bot-data.ts'
import { WorkspaceQuery, WorkspaceQueryAnswer } from '../runs/workspace-queries.ts'

/** A hub's questions to a runner about slots that something other than a run holds. */
export const SlotAsk = z.discriminatedUnion('what', [
  /** Refused with `no_slot` when none is free now. The same id returns the same slot. */
  z.object({
    what: z.literal('allocate_slot'),
    slot_id: z.string(),
    tenant: z.string(),
    repo_url: z.string(),
    ref: z.string().optional(),
    /** Token of the repository; absent: the machine's own is used, if it has one. */
    token: z.string().optional(),
    lease_ms: z.number(),
  }),
  z.object({ what: z.literal('renew_slot'), slot_id: z.string(), lease_ms: z.number() }),
  z.object({ what: z.literal('release_slot'), slot_id: z.string() }),
  z.object({ what: z.literal('look_at_slot'), slot_id: z.string() }),
])
export type SlotAsk = z.infer<typeof SlotAsk>

/** Every question that a hub can ask a runner. */
export const RunnerAsk = z.union([DataAsk, SlotAsk, WorkspaceQuery])
export type RunnerAsk = z.infer<typeof RunnerAsk>

/** The answer to any of them. For a slot, `exists` says that it is leased after the operation. */
export const RunnerAnswer = DataAnswer.extend({ slot_path: z.string().optional(), ...WorkspaceQueryAnswer })
export type RunnerAnswer = z.infer<typeof RunnerAnswer>
