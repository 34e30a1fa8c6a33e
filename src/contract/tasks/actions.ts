import * as z from '../mini-zod.ts'
import { described } from '../mini-zod.ts'
import { Filled } from '../workflow.ts'

/**
 * Arguments of the steps of a coding task that a runner runs itself, outside of every box. These steps hold
 * credentials, and parse nothing that an agent could have written except checked Git objects.
 */

const sha = z
  .string()
  .check(z.regex(/^[0-9a-f]{40}([0-9a-f]{24})?$/, 'a commit id has 40 or 64 hexadecimal digits'))
/** Empty when no earlier step has one. */
const shaOrEmpty = z.union([z.literal(''), sha])
const retries = z._default(z.int().check(z.minimum(0), z.maximum(20)), 3)

/** The variable of the step that holds the token; without one, Git asks nobody for credentials. */
const token = {
  username: described(z.optional(Filled), 'User name for the token; default: the one that the forge expects'),
  token_env: described(z._default(z.string(), 'GIT_TOKEN'), 'Variable of this step that holds the token'),
}

const protect = z._default(
  z.array(z.strictObject({ paths: z.array(z.string()), decision: z.enum(['forbid', 'ask', 'flag']) })),
  [],
)

const repository = {
  repo: z.string().check(z.minLength(1), z.describe('Repository: https://, ssh:// or git@host:path')),
  ...token,
}

/**
 * Arguments of `git.check`: may the repository be used, does its base exist, and may the token read and, if asked,
 * write it? Exports `BASE_REF`, `BASE_SHA`, `BRANCH`, `BRANCH_SHA` (empty: it does not exist yet) and `DEFAULT_BRANCH`.
 */
export const GitCheckArgs = z.strictObject({
  ...repository,
  ref: described(z.optional(z.string()), 'Branch, tag or commit to start from; default: the default branch'),
  branch: described(z.optional(z.string()), 'Branch to push'),
  on_branch: z._default(z.enum(['suffix', 'reuse']), 'suffix'),
  /** Identifies branches of an earlier try of the same task as ours. */
  task: z.optional(Filled),
  write: z._default(z.boolean(), false),
})

/**
 * Arguments of `git.workspace`: turns the run's workspace on this machine into a clone of the repository, a slot of the
 * machine's pool. Exports `SLOT_PATH`, `SLOT_ID`, `START_SHA`, `BASE_REF` and `BASE_SHA`.
 */
export const GitWorkspaceArgs = z.strictObject({
  ...repository,
  ref: described(z.optional(z.string()), 'Branch, tag or commit; default: the default branch'),
  branch: described(
    z.optional(z.string()),
    'Branch to create at ref and check out; an existing branch is used as it is',
  ),
  rebase: described(z._default(z.boolean(), false), 'Rebase an existing branch on ref'),
  /** Branches whose commits are merged with those of `ref`, before anything else is applied on top. */
  join: z._default(z.array(Filled), []),
  depth: described(z.optional(z.int().check(z.positive())), 'Fetch only this many commits'),
  submodules: z._default(z.boolean(), false),
  lfs: z._default(z.boolean(), false),
  slot_path: described(
    z.optional(z.string()),
    'A folder of this machine to use as it is; it is never cleaned',
  ),
  /** An earlier try's work, which is applied on top. */
  checkpoint: z.optional(z.strictObject({ start: sha, tip: sha, artifact_id: Filled, run_id: Filled })),
})

/** The ref of a workspace that holds the tree that was made last, before any test ran in it. */
export const SNAPSHOT_REF = 'refs/errand/snapshot'

/**
 * Arguments of `git.carry`: brings what was made in the workspace out of its box, as a pack that is checked. Exports
 * `TIP_SHA` (empty: nothing was changed), `FILES`, `ADDED`, `DELETED` and `ASKED` (protected files that a person must
 * approve); stores the artifacts pack, diff, patches and files.
 */
export const GitCarryArgs = z.strictObject({
  start: sha,
  /** A commit below `start` that the repository has, if it lacks `start` itself: the saved work then begins there. */
  below: z._default(shaOrEmpty, ''),
  /**
   * The tree that passed: its id, or a ref of the workspace that names it, which is resolved in the box. Absent, or no
   * such ref: the workspace's present tree.
   */
  snapshot: z.optional(z.string()),
  commits: z._default(z.enum(['keep', 'squash']), 'keep'),
  message: Filled,
  author: z._default(z.string(), 'Errand <errand@localhost>'),
  committer: z._default(z.string(), 'Errand <errand@localhost>'),
  trailers: z._default(z.record(z.string(), z.string()), {}),
  /** Seconds since 1970: the same each time the step runs, so that its commits are the same. */
  date: z.int().check(z.minimum(0)),
  protect,
  /** Set when conflicts were mended: a remaining conflict marker is then an error. */
  mended: z._default(z.boolean(), false),
  max_file_bytes: z._default(z.int().check(z.positive()), 50 * 1024 ** 2),
  max_bytes: z._default(z.int().check(z.positive()), 1024 ** 3),
})

/**
 * Arguments of `git.push`: makes the exported commits the branch at the repository, once. Given their `start`, it
 * catches up with a branch that somebody has moved. Exports `BRANCH` and `PUSHED_SHA`; after catching up also
 * `START_SHA` and `TIP_SHA`. When the result must be tested or mended first, nothing is pushed: `MOVED` is then `yes`,
 * and `CONFLICTS` names the files, if any.
 */
export const GitPushArgs = z.strictObject({
  ...repository,
  branch: Filled,
  tip: sha,
  /** The branch's commit when it was checked; empty: there was no branch. */
  expected: shaOrEmpty,
  force: z._default(z.enum(['never', 'lease']), 'never'),
  retry_count: retries,
  start: z._default(shaOrEmpty, ''),
  /** Branch onto which the commits are put first, if it has moved since `start`. */
  onto: z.optional(z.strictObject({ ref: Filled, how: z.enum(['rebase', 'merge']) })),
  retest: described(
    z._default(z.enum(['touched', 'always', 'never']), 'never'),
    'Whether commits that were rebased or merged are tested before they are pushed',
  ),
  conflicts: described(z._default(z.enum(['fail', 'agent']), 'fail'), 'Who resolves conflicts'),
  /** Set when no step follows that could test or mend: the need for it then ends this step. */
  last: z._default(z.boolean(), true),
  protect,
})

/**
 * Arguments of `playbook.run`: runs the commands of a playbook in the box and reports the tests. Exports `PLAYBOOK`
 * (its name); in `setup` also `VERIFY`, the commands of its tests as a JSON list with which an agent is verified; in
 * `test` also `TESTS` (figures as JSON; empty: there are none) and `TESTS_TEXT`.
 */
export const PlaybookRunArgs = z.strictObject({
  phase: z._default(z.enum(['setup', 'test']), 'test'),
  /** The commit that work began at: the repository's own playbook is read from it, never from what an agent wrote. */
  start: sha,
  playbook: described(
    z.optional(z.record(z.string(), z.unknown())),
    'The playbook itself, instead of a file',
  ),
  playbook_path: z.optional(z.string()),
  test_commands: z.optional(z.array(z.string())),
  fail_fast: z._default(z.boolean(), true),
  skill: z.optional(z.string()),
  /** The hub's playbooks, in their order, for a repository without a matching one. */
  playbooks: z.optional(z.array(z.record(z.string(), z.unknown())).check(z.maxLength(1000))),
  metadata: z._default(z.record(z.string(), z.unknown()), {}),
  /** The fields of the task, for conditions (`task.NAME`). */
  task: z._default(z.record(z.string(), z.unknown()), {}),
  /** Longest time of a command of `test_commands`, or of a detected one, in seconds. */
  timeout_seconds: z.optional(z.number().check(z.positive())),
  /** The commit to test, in a checkout of its own; empty: the workspace's present state. */
  fresh: z._default(shaOrEmpty, ''),
})

/**
 * Arguments of `task.verdict`: ends an unsuccessful try after everything is saved. Either the agent said that it could
 * not do it (`gave_up`), or findings of a reviewer remain (`review`).
 */
export const TaskVerdictArgs = z.strictObject({
  reason: z.enum(['gave_up', 'review']),
  message: z.string(),
})

/**
 * Arguments of `forge.pull_request`: creates or updates the branch's open pull or merge request. Exports `PR_URL`,
 * `PR_NUMBER` and `PR_STATE`.
 */
export const ForgePullRequestArgs = z.strictObject({
  ...repository,
  forge: described(
    z.optional(z.strictObject({ kind: z.enum(['github', 'gitea', 'gitlab']), api_url: z.optional(Filled) })),
    'Kind of forge at the host; default: detected by its name or by asking it',
  ),
  head: Filled,
  base: Filled,
  sha,
  title: Filled,
  body: z.string(),
  draft: z._default(z.boolean(), true),
  labels: z._default(z.array(z.string()), []),
  reviewers: z._default(z.array(z.string()), []),
  /** Asks the reviewers even when the pull request is already open: its creator may not have got that far. */
  ask_again: z._default(z.boolean(), false),
  /** The state of the commit as the forge shows it. */
  status: z.optional(
    z.strictObject({
      state: z.enum(['pending', 'success', 'failure', 'error']),
      context: Filled,
      description: z.string(),
      url: z.optional(z.string()),
    }),
  ),
  retry_count: retries,
})
