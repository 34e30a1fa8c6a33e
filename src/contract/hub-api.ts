import * as z from 'zod'
import { SetAside } from './run.ts'

/** The answer of `GET /api/hub`. */
export const HubFacts = z.object({
  version: z.string(),
  uptime_seconds: z.number(),
  data: z.object({
    bytes: z.number().int().describe('Size of the files in its data folder; measured at most once a minute'),
    is_whole: z.boolean().describe('False if there are more files than were counted'),
    free_bytes: z.number().int().describe('Free space on its disk'),
  }),
  runs_kept_seconds: z.number().optional().describe('How long an ended run is kept; absent: forever'),
  set_aside: z
    .array(z.object({ run_id: z.string(), ...SetAside.shape }))
    .describe('Runs that are set aside, at most 20'),
  runs_set_aside: z.number().int().describe('Total number of runs that are set aside'),
  tenants: z.array(z.object({ name: z.string(), users: z.number().int(), admins: z.number().int() })),
})
export type HubFacts = z.infer<typeof HubFacts>

/** The kinds of outside services that a hub uses. */
export const outsideServiceNames = [
  'forge',
  'smtp',
  'ntfy',
  'webhook',
  'task_registry',
  'kubernetes',
  'docker',
] as const
export const OutsideServiceName = z.enum(outsideServiceNames)
export type OutsideServiceName = z.infer<typeof OutsideServiceName>

export const FailingService = z.object({
  service: OutsideServiceName,
  address: z.string().describe('Host and port, or a socket; without credentials'),
  since: z.string().describe('Time of the first failure since it last worked'),
  last_at: z.string().describe('Of the last failure'),
  message: z.string().describe('Of the last failure'),
  times: z.number().int().describe('Failures in a row'),
})
export type FailingService = z.infer<typeof FailingService>

/** The answer of `GET /health/services`. */
export const ServicesHealth = z.object({
  failing: z
    .array(FailingService)
    .describe('Services whose last request failed within the last two hours; the longest failing first'),
})
export type ServicesHealth = z.infer<typeof ServicesHealth>
