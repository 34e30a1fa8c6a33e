import * as z from '../mini-zod.ts'
import { described } from '../mini-zod.ts'
import { StepSecrets } from '../step-secrets.ts'

const filled = z.string().check(z.minLength(1))

/**
 * The checkout of a repository that a run's steps work in: short for a first step `git.workspace` that all others need.
 */
export const WorkspaceAsk = z.strictObject({
  repo: filled.check(z.describe('Repository: https://, ssh:// or git@host:path')),
  ref: described(z.optional(filled), 'Branch, tag or commit; default: the default branch'),
  branch: described(
    z.optional(filled),
    'Branch to create at ref and check out; an existing branch is used as it is',
  ),
  depth: described(z.optional(z.int().check(z.positive())), 'Fetch only this many commits'),
  submodules: z.optional(z.boolean()),
  lfs: z.optional(z.boolean()),
  username: described(z.optional(filled), 'User name for the token; default: the one that the forge expects'),
  secrets: described(
    z.optional(StepSecrets),
    "The token, as GIT_TOKEN, such as [GIT_TOKEN]; default: the hub's secret GIT_TOKEN or GITHUB_TOKEN, if there is one",
  ),
})
export type WorkspaceAsk = z.infer<typeof WorkspaceAsk>
