import * as z from 'zod'
import { Isolation, Network } from '../isolation.ts'
import { PlainName } from '../plain-name.ts'
import { PoolView } from './provisioning.ts'

/** Requests and answers of `/api/runner-groups` and `/api/runner-waits`. */

/** A step of a run that waits for a runner. */
export const WaitingStep = z.object({
  run_id: z.string(),
  workflow_name: z.string(),
  step: z.string(),
  attempts: z.number().int().describe('So many of its instances wait for this'),
  why: z.string(),
})
export type WaitingStep = z.infer<typeof WaitingStep>

/** The work that waits for the runners of one group. */
export const RunnerWait = z.object({
  group: z.string().optional().describe('Absent: it waits for the runner that it names, whatever its group'),
  runs: z.number().int().describe('So many runs of the tenant wait'),
  attempts: z.number().int(),
  steps: z.array(WaitingStep).describe('First come, first, 20 at most; for a user, of its own runs'),
})
export type RunnerWait = z.infer<typeof RunnerWait>
export const RunnerWaits = z.object({ waits: z.array(RunnerWait) })
export type RunnerWaits = z.infer<typeof RunnerWaits>
export const ListWaits = z.strictObject({ group: z.string().optional() })
export type ListWaits = z.infer<typeof ListWaits>

/** A group with everything that belongs to it. */
export const RunnerGroup = z.object({
  name: z.string(),
  made: z.boolean().describe('An admin has made it: it is there without runners too'),
  created_at: z.string().optional(),
  created_by: z.string().optional(),
  runners: z.array(z.string()).describe('Ids, of those that are away too'),
  connected: z.number().int(),
  slots: z.number().int().describe('Of those that are connected'),
  running: z.number().int().describe('Slots of them that are taken'),
  waiting: z.number().int().describe('Runs that wait for it'),
  tokens: z
    .array(z.object({ id: z.string(), name: z.string(), runner_id: z.string().optional() }))
    .describe('Good ones that let a runner serve this group alone; for admins'),
  repositories: z.array(z.string()).describe('Those whose runs `errand.yaml` sends here'),
  isolation: z.optional(Isolation).describe('The least box of whatever runs here, by `errand.yaml`'),
  pool: PoolView.optional().describe('How its runners are made, and those that are, by `errand.yaml`'),
  network: z.optional(Network).describe('The widest network of whatever runs here, by `errand.yaml`'),
})
export type RunnerGroup = z.infer<typeof RunnerGroup>
export const RunnerGroups = z.object({ groups: z.array(RunnerGroup) })
export type RunnerGroups = z.infer<typeof RunnerGroups>
export const ListGroups = z.strictObject({
  name: z.string().optional(),
  made: z.stringbool().optional().describe('Only those that an admin has made, or only others'),
})
export type ListGroups = z.infer<typeof ListGroups>
export const NamedGroup = z.strictObject({ name: PlainName })
export type NamedGroup = z.infer<typeof NamedGroup>
