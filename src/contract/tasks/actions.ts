import * as z from '../mini-zod.ts'
import { described } from '../mini-zod.ts'
import { Filled } from '../workflow.ts'

/**
 * The arguments of the steps of a coding task that a runner carries out itself, outside of every box: they hold
 * credentials, and parse nothing that an agent could have written but objects of Git that were checked.
 */

const sha = z
  .string()
  .check(z.regex(/^[0-9a-f]{40}([0-9a-f]{24})?$/, 'a commit id has 40 or 64 hexadecimal digits'))
/** Empty where a step before has none. */
const shaOrEmpty = z.union([z.literal(''), sha])
const retries = z._default(z.int().check(z.minimum(0), z.maximum(20)), 3)

/** The variable of the step that holds the token; without one, Git asks nobody. */
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
 * `git.check`: may the repository be used, is its base there, and may the token read and, if asked, write it? Exports `BASE_REF`,
 * `BASE_SHA`, `BRANCH`, `BRANCH_SHA` (empty: not there yet) and `DEFAULT_BRANCH`.
 */
export const GitCheckArgs = z.strictObject({
  ...repository,
  ref: described(z.optional(z.string()), 'Branch, tag or commit to start from; default: the default branch'),
  branch: described(z.optional(z.string()), 'Branch to push'),
  on_branch: z._default(z.enum(['suffix', 'reuse']), 'suffix'),
  /** Marks branches of an earlier try of the same task as ours. */
  task: z.optional(Filled),
  write: z._default(z.boolean(), false),
})

/**
 * `git.workspace`: the run's workspace on this machine becomes a clone of the repository: a slot of the machine's pool. Exports
 * `SLOT_PATH`, `SLOT_ID`, `START_SHA`, `BASE_REF` and `BASE_SHA`.
 */
export const GitWorkspaceArgs = z.strictObject({
  ...repository,
  ref: described(z.optional(z.string()), 'Branch, tag or commit; default: the default branch'),
  branch: described(
    z.optional(z.string()),
    'Branch to create at ref and check out; an existing branch is used as it is',
  ),
  rebase: described(z._default(z.boolean(), false), 'Rebase an existing branch on ref'),
  /** Branches whose commits are joined with those of `ref`, before anything else is put on top. */
  join: z._default(z.array(Filled), []),
  depth: described(z.optional(z.int().check(z.positive())), 'Fetch only this many commits'),
  submodules: z._default(z.boolean(), false),
  lfs: z._default(z.boolean(), false),
  slot_path: described(
    z.optional(z.string()),
    'A folder of this machine to use as it is; it is never cleaned',
  ),
  /** An earlier try's work, which is put on top. */
  checkpoint: z.optional(z.strictObject({ start: sha, tip: sha, artifact_id: Filled, run_id: Filled })),
})

/** The ref of a workspace under which the tree is kept that was made last, before anything was tested in it. */
export const SNAPSHOT_REF = 'refs/errand/snapshot'

/**
 * `git.carry`: what was made in the workspace comes out of its box as a pack that is checked. Exports `TIP_SHA` (empty: nothing
 * was changed), `FILES`, `ADDED`, `DELETED` and `ASKED` (protected files that a person has to approve of); keeps the artifacts pack, diff, patches and files.
 */
export const GitCarryArgs = z.strictObject({
  start: sha,
  /** A commit below `start` that the repository has, where it has not that one: what is kept to go on from begins there. */
  below: z._default(shaOrEmpty, ''),
  /**
   * The tree that passed: its id, or a ref of the workspace that names it, which is looked up in the box. Absent, or no such
   * ref: as the workspace is.
   */
  snapshot: z.optional(z.string()),
  commits: z._default(z.enum(['keep', 'squash']), 'keep'),
  message: Filled,
  author: z._default(z.string(), 'Errand <errand@localhost>'),
  committer: z._default(z.string(), 'Errand <errand@localhost>'),
  trailers: z._default(z.record(z.string(), z.string()), {}),
  /** Seconds since 1970: the same for each time that the step is carried out, so that commits are the same. */
  date: z.int().check(z.minimum(0)),
  protect,
  /** Conflicts were mended: a mark that is left is one. */
  mended: z._default(z.boolean(), false),
  max_file_bytes: z._default(z.int().check(z.positive()), 50 * 1024 ** 2),
  max_bytes: z._default(z.int().check(z.positive()), 1024 ** 3),
})

/**
 * Arguments of `git.push`: the carried commits become the branch at the repository, once. Given their `start`, a branch that somebody
 * has moved is caught up with. Exports `BRANCH` and `PUSHED_SHA`; where it has caught up also `START_SHA` and `TIP_SHA`. Where it is to
 * be tested first, or mended, nothing is pushed: `MOVED` is `yes` then, and `CONFLICTS` names the files, if any.
 */
export const GitPushArgs = z.strictObject({
  ...repository,
  branch: Filled,
  tip: sha,
  /** The commit of the branch when it was looked at; empty: there was no branch. */
  expected: shaOrEmpty,
  force: z._default(z.enum(['never', 'lease']), 'never'),
  retry_count: retries,
  start: z._default(shaOrEmpty, ''),
  /** Branch that the commits are put on first, where it has moved on since `start`. */
  onto: z.optional(z.strictObject({ ref: Filled, how: z.enum(['rebase', 'merge']) })),
  retest: described(
    z._default(z.enum(['touched', 'always', 'never']), 'never'),
    'Whether commits that were rebased or merged are tested before they are pushed',
  ),
  conflicts: described(z._default(z.enum(['fail', 'agent']), 'fail'), 'Who resolves conflicts'),
  /** No step follows that could test or mend: what needs it ends this one. */
  last: z._default(z.boolean(), true),
  protect,
})

/**
 * `playbook.run`: the commands of a playbook, in the box, and what tests said. Exports `PLAYBOOK` (its name); of `setup` also
 * `VERIFY`, the commands of its tests as a JSON list for an agent to be verified by; of `test` also `TESTS` (figures as JSON; empty:
 * there are none) and `TESTS_TEXT`.
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
  /** The hub's own, in their order: for a repository that has none that fits. */
  playbooks: z.optional(z.array(z.record(z.string(), z.unknown())).check(z.maxLength(1000))),
  metadata: z._default(z.record(z.string(), z.unknown()), {}),
  /** The fields of the task, for conditions (`task.NAME`). */
  task: z._default(z.record(z.string(), z.unknown()), {}),
  /** Longest time of a command of `test_commands`, or of one that is found. */
  timeout_seconds: z.optional(z.number().check(z.positive())),
  /** The commit that is tested, on a checkout of its own; empty: the workspace as it is. */
  fresh: z._default(shaOrEmpty, ''),
})

/**
 * `task.verdict`: ends a try of which all that is kept is there, and which is no success: the agent said that it cannot
 * (`gave_up`), or a reviewer's findings are left (`review`).
 */
export const TaskVerdictArgs = z.strictObject({
  reason: z.enum(['gave_up', 'review']),
  message: z.string(),
})

/**
 * `forge.pull_request`: the open pull or merge request of the branch is as it is to be. Exports `PR_URL`, `PR_NUMBER` and
 * `PR_STATE`.
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
  /** Asks them too where the pull request is open already: whoever opened it may not have come to it. */
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
