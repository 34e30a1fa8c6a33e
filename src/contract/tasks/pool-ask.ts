import * as z from 'zod'
import { DataAnswer, DataAsk } from '../bots/bot-data.ts'
import { LookAnswer, WorkspaceLook } from '../runs/workspace-looks.ts'

/** The questions of a hub to a runner about slots that others than runs hold. */
export const SlotAsk = z.discriminatedUnion('what', [
  /** Refused with `no_slot` where none is free now. The same id again is the same slot. */
  z.object({
    what: z.literal('allocate_slot'),
    slot_id: z.string(),
    tenant: z.string(),
    repo_url: z.string(),
    ref: z.string().optional(),
    /** Of the repository; absent: the machine's own is used, where it has one. */
    token: z.string().optional(),
    lease_ms: z.number(),
  }),
  z.object({ what: z.literal('renew_slot'), slot_id: z.string(), lease_ms: z.number() }),
  z.object({ what: z.literal('release_slot'), slot_id: z.string() }),
  z.object({ what: z.literal('look_at_slot'), slot_id: z.string() }),
])
export type SlotAsk = z.infer<typeof SlotAsk>

/** All that a hub asks a runner. */
export const RunnerAsk = z.union([DataAsk, SlotAsk, WorkspaceLook])
export type RunnerAsk = z.infer<typeof RunnerAsk>

/** For a slot: `exists` says that it is leased, now that it is done. */
export const RunnerAnswer = DataAnswer.extend({ slot_path: z.string().optional(), ...LookAnswer })
export type RunnerAnswer = z.infer<typeof RunnerAnswer>
