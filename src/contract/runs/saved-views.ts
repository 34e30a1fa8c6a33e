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
    z.string().regex(word, `is not a filter field: use ${viewWords.join(', ')} or input.NAME`),
    z.string().min(1).max(500),
  )
  .refine((filter) => Object.keys(filter).length <= 20, 'has more than 20 fields')
  .describe(
    'Fields of the filter, with values as in the URL of the list: `{"status": "failed", "since": "24h"}`; `since` may be a time span',
  )
export type ViewFilter = z.infer<typeof ViewFilter>

export const ListViews = z.strictObject({
  shared: z.stringbool().optional().describe('true: only shared views; false: only your own'),
})

export const CreateView = z.strictObject({
  name: PlainName,
  filter: ViewFilter,
  shared: z.boolean().default(false).describe('For everyone in the tenant; otherwise only for you'),
})
export type CreateViewInput = z.input<typeof CreateView>

export const PatchView = z.strictObject({
  name: PlainName.optional(),
  filter: ViewFilter.optional(),
  shared: z.boolean().optional(),
})
export type PatchView = z.infer<typeof PatchView>

export const SavedView = z.object({
  id: z.string(),
  name: z.string(),
  filter: ViewFilter,
  shared: z.boolean(),
  owner: z.string().describe('Who saved it'),
  created_at: z.string(),
  may_change: z
    .boolean()
    .describe('Whether you may change and delete it; for a shared view, only who saved it and admins may'),
})
export type SavedView = z.infer<typeof SavedView>
export const ViewList = z.object({ views: z.array(SavedView) })
export type ViewList = z.infer<typeof ViewList>

/** Most failures that are listed. */
export const MOST_FAILURES = 100

export const ListFailures = z.strictObject({
  limit: z.coerce.number().int().min(1).max(MOST_FAILURES).default(50),
})
export const Failures = z.object({
  runs: z.array(RunSummary),
  more: z.boolean().describe('Whether there are more; they appear once some of these are marked as seen'),
})
export type Failures = z.infer<typeof Failures>

/** `POST /api/me/seen`: exactly one of the two. */
export const MarkSeen = z.strictObject({
  run_ids: z
    .array(RunId)
    .min(1)
    .max(500)
    .optional()
    .describe('These runs; runs that are not your failures are ignored'),
  until: z.string().optional().describe('All failures up to this time; a time in the future counts as now'),
})
export type MarkSeen = z.infer<typeof MarkSeen>
export const SeenFailures = z.object({ since: z.string().describe('All failures up to this time are seen') })
export type SeenFailures = z.infer<typeof SeenFailures>
