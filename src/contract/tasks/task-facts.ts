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

/** Why nobody follows a pull request any more, while it is open. */
export const FollowEnd = z.enum([
  'off', // a person said so
  'pushed', // a commit on the branch that is none of ours
  'conflict', // it cannot be merged as it is
  'too_long', // after 7 days
  'same_failure', // a try did not mend it
  'unchanged', // a try pushed nothing
  'failed', // a try came to no end that holds
  'tries', // as many as there may be
  'budget',
])
export type FollowEnd = z.infer<typeof FollowEnd>

/** A try that was made for what a forge said against a head; the same failing checks with the same first errors have the same `failure`. */
export const FollowTry = z.object({
  sha: z.string().describe('The head commit that it was made for'),
  failure: z.string().describe('The failing checks; empty if there were none'),
  notes: z.array(z.string()).describe('Ids of the review comments that it was given'),
})
export type FollowTry = z.infer<typeof FollowTry>

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
