import * as z from 'zod'
import { RunId } from '../ids.ts'
import { PlainName } from '../plain-name.ts'
import { RunSummary } from '../run.ts'

/** Requests and answers of `/api/views`, `/api/me/failures` and `/api/me/seen`. */

/** Most views that a user may have. */
export const MOST_VIEWS = 100

/** Filter parameters, as the address of the dashboard's list has them. */
export const viewWords = [
  'kind',
  'status',
  'user',
  'workflow',
  'label',
  'since',
  'until',
  'needs',
  'latest',
  'sort',
  'agent',
  'repository',
  'shared',
  'q',
] as const

const word = new RegExp(`^(${viewWords.join('|')}|input\\.\\w{1,200})$`)

export const ViewFilter = z
  .record(
    z.string().regex(word, `is no word of a filter: those are ${viewWords.join(', ')} and input.NAME`),
    z.string().min(1).max(500),
  )
  .refine((filter) => Object.keys(filter).length <= 20, 'has more than 20 words')
  .describe(
    'Its words, each with a value as in the address of the list: `{"status": "failed", "since": "24h"}`; `since` may be a time that has passed',
  )
export type ViewFilter = z.infer<typeof ViewFilter>

export const ListViews = z.strictObject({
  shared: z.stringbool().optional().describe('Only those of all, or only your own'),
})

export const CreateView = z.strictObject({
  name: PlainName,
  filter: ViewFilter,
  shared: z.boolean().default(false).describe('For all of the tenant; else for you alone'),
})
export type CreateViewInput = z.input<typeof CreateView>

export const PatchView = z.strictObject({
  name: PlainName.optional(),
  filter: ViewFilter.optional(),
  shared: z.boolean().optional(),
})
export type PatchView = z.infer<typeof PatchView>

export const KeptView = z.object({
  id: z.string(),
  name: z.string(),
  filter: ViewFilter,
  shared: z.boolean(),
  owner: z.string().describe('Who saved it'),
  created_at: z.string(),
  may_change: z.boolean().describe('A shared one is changed and deleted by who saved it, and by admins'),
})
export type KeptView = z.infer<typeof KeptView>
export const ViewList = z.object({ views: z.array(KeptView) })
export type ViewList = z.infer<typeof ViewList>

/** Most failures that are listed. */
export const MOST_FAILURES = 100

export const ListFailures = z.strictObject({
  limit: z.coerce.number().int().min(1).max(MOST_FAILURES).default(50),
})
export const Failures = z.object({
  runs: z.array(RunSummary),
  more: z.boolean().describe('There are others; they come once some of these are seen'),
})
export type Failures = z.infer<typeof Failures>

/** `POST /api/me/seen`: exactly one of the two. */
export const MarkSeen = z.strictObject({
  run_ids: z
    .array(RunId)
    .min(1)
    .max(500)
    .optional()
    .describe('These runs; those that are no failure of yours change nothing'),
  until: z
    .string()
    .optional()
    .describe('All that failed until this time; one that is still to come counts as now'),
})
export type MarkSeen = z.infer<typeof MarkSeen>
export const SeenFailures = z.object({ since: z.string().describe('All that failed until then is seen') })
export type SeenFailures = z.infer<typeof SeenFailures>
