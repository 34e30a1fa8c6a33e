import type { ForgeKind } from '../contract/tasks/forge.ts'

/** Right of a person or a token in a repository; `unknown` if the forge does not say. */
export type Right = 'none' | 'read' | 'write' | 'admin' | 'unknown'

export const mayWrite = (right: Right): boolean => right === 'write' || right === 'admin'

/** Identifies an author. `id` is the forge's own id as text; a deleted account has the login "ghost". */
export interface Person {
  id: string
  login: string
  isBot: boolean
}

export interface RepositoryFacts {
  /** `owner/name` as the forge writes it; on GitLab with all groups. */
  fullName: string
  defaultBranch: string
  isPrivate: boolean
  isArchived: boolean
  /** Right of the token in the repository. */
  right: Right
  /** Whether the token may push; undefined if the forge does not tell in advance. */
  mayPush: boolean | undefined
  mayOpenPulls: boolean | undefined
  webUrl: string
}

export interface Comment {
  id: string
  author: Person
  body: string
  /** Time in RFC 3339. */
  createdAt: string
  updatedAt: string
}

export interface Issue {
  number: number
  title: string
  body: string
  author: Person
  state: 'open' | 'closed'
  labels: string[]
  webUrl: string
  createdAt: string
  updatedAt: string
}

/** Describes who last put a label on an issue, and the issue's text at that time. */
export interface Labelling {
  by: Person
  /** Current right of that person. */
  right: Right
  /** Time of the labelling, in RFC 3339. */
  at: string
  /** Title at that time; undefined if it changed since and the forge keeps no older version, or may have changed. */
  title: string | undefined
  body: string | undefined
}

export interface Pull {
  number: number
  title: string
  body: string
  state: 'open' | 'closed' | 'merged'
  isDraft: boolean
  author: Person
  labels: string[]
  /** Name of the source branch; `base` is the target branch. */
  head: string
  base: string
  headSha: string
  /** Whether the source branch is in this repository, not in a fork. */
  isSameRepository: boolean
  /** Whether it can be merged; undefined while the forge computes it. */
  mergeable: boolean | undefined
  mergeSha: string | undefined
  webUrl: string
}

export interface PullInput {
  title: string
  body: string
  head: string
  base: string
  isDraft: boolean
}

/**
 * Fields to change. There is no `isDraft`, which not all forges can change; see `retitled` for the draft mark of a
 * title.
 */
export interface PullChange {
  title?: string
  body?: string
  base?: string
  state?: 'open'
}

export type CommitState = 'pending' | 'success' | 'failure' | 'error'
export interface CommitStatus {
  state: CommitState
  /** Name of the status, unique for a commit. */
  context: string
  /** Description; the forge classes cut it at 140 characters. */
  description: string
  url?: string
}

/**
 * Result of a check. `failed` covers failures, timeouts and failed starts; canceled, skipped, neutral and stale is
 * `other`.
 */
export type CheckResult = 'running' | 'passed' | 'failed' | 'other'
export interface Check {
  name: string
  result: CheckResult
  /**
   * Whether the base branch requires it for a merge; undefined if it requires none, or the forge does not say which.
   */
  isRequired: boolean | undefined
  /** Summary in the forge's own words. */
  summary: string
  url: string | undefined
  /** Value for `checkLog`; undefined if there is no log. */
  log: string | undefined
}

/** Describes a reviewer's remark: on a review as a whole, on a line of a file, or in the conversation. */
export interface ReviewNote {
  id: string
  author: Person
  right: Right
  body: string
  /** Whether it belongs to a review that requests changes. */
  asksForChanges: boolean
  path: string | undefined
  line: number | undefined
  /** Commit on which it was written, if known. */
  sha: string | undefined
  createdAt: string
}

/** Position from which the next query continues; `etag` and `since` come from the forge. */
export interface IssueCursor {
  since?: string
  etag?: string
}
export interface IssuePage {
  issues: Issue[]
  cursor: IssueCursor
}

export interface CallOptions {
  /** Ends waits and requests; the call then throws its reason. */
  signal?: AbortSignal
}

/** Returns `notes` in order of time, with the right of each author, which it queries once per author. */
export async function withRights(
  forge: Pick<Forge, 'rightOf'>,
  notes: readonly Omit<ReviewNote, 'right'>[],
  options: CallOptions,
): Promise<ReviewNote[]> {
  const rights = new Map<string, Right>()
  for (const { author } of notes)
    if (!rights.has(author.login)) rights.set(author.login, await forge.rightOf(author, options))
  return notes
    .map((note) => ({ ...note, right: rights.get(note.author.login)! }))
    .sort((a, b) => Date.parse(a.createdAt) - Date.parse(b.createdAt))
}

/** Identifies an issue or a pull request with comments; GitLab numbers the two kinds separately. */
export interface Talk {
  kind: 'issue' | 'pull'
  number: number
}

/**
 * Accesses one repository on one forge with one token. Calls may overlap. Each throws `ErrandError`: `repo_not_found`,
 * `repo_auth`, `repo_archived`, `push_denied`, `forge_denied`, `pull_request`, `forge_busy`, `forge_away`,
 * `service_answer`, or `not_found` for an issue or pull request that does not exist. No error contains the token. Call
 * `createPull` and `addComment` within `once`, as `ensurePull` and `ensureComment` do.
 */
export interface Forge {
  readonly kind: ForgeKind
  /** Host as it is shown, with the port unless it is the default. */
  readonly host: string
  /** `owner/name`, as given. */
  readonly path: string

  repository(options?: CallOptions): Promise<RepositoryFacts>
  /** Returns the owner of the token, or undefined if the token may not query it. */
  self(options?: CallOptions): Promise<Person | undefined>
  rightOf(person: Person, options?: CallOptions): Promise<Right>

  issue(number: number, options?: CallOptions): Promise<Issue>
  /**
   * Returns at most 1,000 comments, the oldest first, without those that the forge itself writes. With `since` (RFC
   * 3339), returns only comments written or changed since then, or the newest ones if the forge cannot select them.
   */
  comments(talk: Talk, options?: CallOptions & { since?: string }): Promise<Comment[]>
  addComment(talk: Talk, body: string, options?: CallOptions): Promise<Comment>
  editComment(talk: Talk, id: string, body: string, options?: CallOptions): Promise<Comment>
  /** Returns undefined if the label is not on the issue, or the forge does not tell who put it there. */
  labelling(number: number, label: string, options?: CallOptions): Promise<Labelling | undefined>
  /**
   * Returns open issues with the label that changed since the cursor, the oldest change first. An issue may come twice.
   */
  labelledIssues(label: string, cursor: IssueCursor, options?: CallOptions): Promise<IssuePage>

  pull(number: number, options?: CallOptions): Promise<Pull>
  /**
   * Returns pull requests in any state from the branch `head` of this repository (to `base`, if given), the newest
   * first.
   */
  pulls(from: { head: string; base?: string }, options?: CallOptions): Promise<Pull[]>
  /** Throws `pull_request`, with `details.cause` "exists" or "draft" if that is the forge's reason. */
  createPull(input: PullInput, options?: CallOptions): Promise<Pull>
  changePull(number: number, change: PullChange, options?: CallOptions): Promise<Pull>
  /** Adds labels, and creates those that the repository does not have. */
  addLabels(talk: Talk, labels: readonly string[], options?: CallOptions): Promise<void>
  /** Requests reviews in addition to those already requested. */
  askReviewers(number: number, logins: readonly string[], options?: CallOptions): Promise<void>

  setStatus(sha: string, status: CommitStatus, options?: CallOptions): Promise<void>
  /** Returns the newest check of each name for a commit. */
  checks(sha: string, base: string, options?: CallOptions): Promise<Check[]>
  /** Returns the last lines of a check's log, or undefined if the forge provides none. */
  checkLog(log: string, lines: number, options?: CallOptions): Promise<string | undefined>
  /** Returns all remarks on a pull request, the oldest first, without those that the forge reports as resolved. */
  reviewNotes(number: number, options?: CallOptions): Promise<ReviewNote[]>

  /**
   * Runs an action that must happen only once, such as `createPull` or `addComment`. If it broke off and may have
   * arrived, calls `look` for its result before it tries again.
   */
  once<T>(post: () => Promise<T>, look: () => Promise<T | undefined>, options?: CallOptions): Promise<T>
}
