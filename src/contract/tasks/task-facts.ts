import * as z from 'zod'

/** Facts that the log of a run and that of its task both tell. */

export const PullRequestState = z.object({
  url: z.string(),
  number: z.number().int(),
  state: z.enum(['open', 'merged', 'closed']),
  draft: z.boolean().optional(),
  head: z.string().optional(),
})
export type PullRequestState = z.infer<typeof PullRequestState>

/** Figures of one suite of tests. The flaky, which passed when tried again, are among the passed. */
export const TestFigures = z.object({
  suite: z.string(),
  passed: z.number().int().min(0),
  failed: z.number().int().min(0),
  skipped: z.number().int().min(0),
  flaky: z.number().int().min(0).optional(),
  failed_names: z.array(z.string()).max(50),
  duration_ms: z.number().min(0).optional(),
})
export type TestFigures = z.infer<typeof TestFigures>
