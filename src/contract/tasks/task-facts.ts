import * as z from 'zod'

/** Facts that both the log of a run and that of its task contain. */

export const PullRequestState = z.object({
  url: z.string(),
  number: z.number().int(),
  state: z.enum(['open', 'merged', 'closed']),
  draft: z.boolean().optional(),
  head: z.string().optional(),
})
export type PullRequestState = z.infer<typeof PullRequestState>

/** The reason why an open pull request is no longer followed. */
export const FollowEnd = z.enum([
  'off', // a person turned it off
  'pushed', // somebody else's commit is on the branch
  'conflict', // it cannot be merged
  'too_long', // after 7 days
  'same_failure', // a try did not fix it
  'unchanged', // a try pushed nothing
  'failed', // a try reached no valid end
  'tries', // the maximum number of tries
  'budget',
])
export type FollowEnd = z.infer<typeof FollowEnd>

/**
 * A try that was made for a forge's report on a head; the same failing checks with the same first errors have the same
 * `failure`.
 */
export const FollowTry = z.object({
  sha: z.string().describe('The head commit that it was made for'),
  failure: z.string().describe('The failing checks; empty if there were none'),
  notes: z.array(z.string()).describe('Ids of the review comments that it was given'),
})
export type FollowTry = z.infer<typeof FollowTry>

/** Figures of one suite of tests. Flaky tests, which passed when tried again, count as passed. */
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
