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
  attempts: z.number().int().describe('How many of its instances wait for this'),
  why: z.string(),
})
export type WaitingStep = z.infer<typeof WaitingStep>

/** The work that waits for the runners of one group. */
export const RunnerWait = z.object({
  group: z.string().optional().describe('Absent if the step waits for a runner by id, in whatever group'),
  runs: z.number().int().describe('How many runs of the tenant wait'),
  attempts: z.number().int(),
  steps: z
    .array(WaitingStep)
    .describe('In order of arrival, at most 20; for a user, only steps of their own runs'),
})
export type RunnerWait = z.infer<typeof RunnerWait>
export const RunnerWaits = z.object({ waits: z.array(RunnerWait) })
export type RunnerWaits = z.infer<typeof RunnerWaits>
export const ListWaits = z.strictObject({ group: z.string().optional() })
export type ListWaits = z.infer<typeof ListWaits>

/** A group with everything that belongs to it. */
export const RunnerGroup = z.object({
  name: z.string(),
  made: z.boolean().describe('Created by an admin: the group exists even without runners'),
  created_at: z.string().optional(),
  created_by: z.string().optional(),
  runners: z.array(z.string()).describe('Ids, including runners that are away'),
  connected: z.number().int(),
  slots: z.number().int().describe('Slots of the connected runners'),
  running: z.number().int().describe('Slots of these that are taken'),
  waiting: z.number().int().describe('Runs that wait for this group'),
  tokens: z
    .array(z.object({ id: z.string(), name: z.string(), runner_id: z.string().optional() }))
    .describe('Valid tokens that let a runner serve only this group; only for admins'),
  repositories: z.array(z.string()).describe('Repositories whose runs `errand.yaml` sends to this group'),
  isolation: z
    .optional(Isolation)
    .describe('Minimum isolation of everything that runs here, from `errand.yaml`'),
  pool: PoolView.optional().describe(
    'How its runners are provisioned, from `errand.yaml`, and the provisioned runners',
  ),
  network: z
    .optional(Network)
    .describe('The most that anything that runs here may reach, from `errand.yaml`'),
})
export type RunnerGroup = z.infer<typeof RunnerGroup>
export const RunnerGroups = z.object({ groups: z.array(RunnerGroup) })
export type RunnerGroups = z.infer<typeof RunnerGroups>
export const ListGroups = z.strictObject({
  name: z.string().optional(),
  made: z
    .stringbool()
    .optional()
    .describe('true: only groups that an admin has created; false: only the others'),
})
export type ListGroups = z.infer<typeof ListGroups>
export const NamedGroup = z.strictObject({ name: PlainName })
export type NamedGroup = z.infer<typeof NamedGroup>
