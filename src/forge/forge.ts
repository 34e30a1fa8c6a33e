import type { ForgeKind } from '../contract/tasks/forge.ts'

/** Rights of a person or a token in a repository; `unknown` if the forge does not say. */
export type Right = 'none' | 'read' | 'write' | 'admin' | 'unknown'

export const mayWrite = (right: Right): boolean => right === 'write' || right === 'admin'

/** Author of something. `id` is the forge's own, as text; a deleted account has the login "ghost". */
export interface Person {
  id: string
  login: string
  isBot: boolean
}

export interface RepositoryFacts {
  /** `owner/name`, for GitLab with all groups, as the forge writes it. */
  fullName: string
  defaultBranch: string
  isPrivate: boolean
  isArchived: boolean
  /** Right of the token to the repository. */
  right: Right
  /** Whether the token may push; undefined if the forge does not reveal it beforehand. */
  mayPush: boolean | undefined
  mayOpenPulls: boolean | undefined
  webUrl: string
}

export interface Comment {
  id: string
  author: Person
  body: string
  /** RFC 3339. */
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

/** Says who last put a label on an issue, and what the issue's text was at that time. */
export interface Labelling {
  by: Person
  /** Current right of that person. */
  right: Right
  /** RFC 3339. */
  at: string
  /**
   * Title at that time. Undefined if it was changed since and the forge stores no older one, or does not say whether
   * it was changed.
   */
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
  /** Names of branches. */
  head: string
  base: string
  headSha: string
  /** True if the head's branch is in this repository and not in a fork. */
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
 * Changes to a pull request. Not all forges can change `isDraft`. A changed title keeps its draft mark
 * (`draftTitle`).
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
  /** Name of it among the statuses of a commit. */
  context: string
  /** Cut at 140 characters. */
  description: string
  url?: string
}

/**
 * Result of a check. `failed` covers failures, timeouts and failed starts. Canceled, skipped, neutral and stale
 * checks are `other`.
 */
export type CheckResult = 'running' | 'passed' | 'failed' | 'other'
export interface Check {
  name: string
  result: CheckResult
  /**
   * True if the base branch requires it before a merge. Undefined if the branch requires none, or if the forge does
   * not say which.
   */
  isRequired: boolean | undefined
  /** Text of the forge. */
  summary: string
  url: string | undefined
  /** Argument for `checkLog`; undefined if there is no log. */
  log: string | undefined
}

/** A comment of a reviewer: in a review as a whole, at a line of a file, or in the conversation. */
export interface ReviewNote {
  id: string
  author: Person
  right: Right
  body: string
  /** True if it belongs to a review that asks for changes. */
  asksForChanges: boolean
  path: string | undefined
  line: number | undefined
  /** Commit that it was written on, if known. */
  sha: string | undefined
  createdAt: string
}

/** Place from which to continue; `etag` and `since` are the forge's. */
export interface IssueCursor {
  since?: string
  etag?: string
}
export interface IssuePage {
  issues: Issue[]
  cursor: IssueCursor
}

export interface CallOptions {
  /** Aborts waits and requests; its reason is thrown. */
  signal?: AbortSignal
}

/** Adds the right of each author to `notes` and sorts them by time. Asks only once per author. */
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

/** Place of comments. GitLab numbers issues and merge requests separately. */
export interface Talk {
  kind: 'issue' | 'pull'
  number: number
}

/**
 * Gives access to one repository at one forge with one token. Calls may run concurrently. Each throws `ErrandError`:
 * `repo_not_found`, `repo_auth`, `repo_archived`, `push_denied`, `forge_denied`, `pull_request`, `forge_busy`,
 * `forge_away`, `service_answer`, or `not_found` for a missing issue or pull request. None of the messages contains
 * the token. Call `createPull` and `addComment` within `once`, as `ensurePull` and `ensureComment` do.
 */
export interface Forge {
  readonly kind: ForgeKind
  /** Host for display, with the port unless it is the default. */
  readonly host: string
  /** `owner/name`, as given. */
  readonly path: string

  repository(options?: CallOptions): Promise<RepositoryFacts>
  /** Returns the owner of the token, or undefined if the token may not ask. */
  self(options?: CallOptions): Promise<Person | undefined>
  rightOf(person: Person, options?: CallOptions): Promise<Right>

  issue(number: number, options?: CallOptions): Promise<Issue>
  /**
   * Returns the comments except those that the forge writes itself, oldest first, at most 1,000. With `since` (RFC
   * 3339), returns only those written or changed since then or, if the forge cannot filter them, the newest.
   */
  comments(talk: Talk, options?: CallOptions & { since?: string }): Promise<Comment[]>
  addComment(talk: Talk, body: string, options?: CallOptions): Promise<Comment>
  editComment(talk: Talk, id: string, body: string, options?: CallOptions): Promise<Comment>
  /** Returns undefined if the label is not on the issue, or if the forge does not say who put it there. */
  labelling(number: number, label: string, options?: CallOptions): Promise<Labelling | undefined>
  /**
   * Returns open issues with the label that were changed since the cursor, oldest change first. An issue may come
   * twice.
   */
  labelledIssues(label: string, cursor: IssueCursor, options?: CallOptions): Promise<IssuePage>

  pull(number: number, options?: CallOptions): Promise<Pull>
  /**
   * Returns pull requests from the branch `head` of this repository, to `base` if given, in any state, newest first.
   */
  pulls(from: { head: string; base?: string }, options?: CallOptions): Promise<Pull[]>
  /** Throws `pull_request` with `details.cause` "exists" or "draft" if that is the forge's reason. */
  createPull(input: PullInput, options?: CallOptions): Promise<Pull>
  changePull(number: number, change: PullChange, options?: CallOptions): Promise<Pull>
  /** Adds labels, and creates those that the repository does not have. */
  addLabels(talk: Talk, labels: readonly string[], options?: CallOptions): Promise<void>
  /** Asks these reviewers in addition to those already asked. */
  askReviewers(number: number, logins: readonly string[], options?: CallOptions): Promise<void>

  setStatus(sha: string, status: CommitStatus, options?: CallOptions): Promise<void>
  /** Returns all checks of a commit, the newest for each name. */
  checks(sha: string, base: string, options?: CallOptions): Promise<Check[]>
  /** Returns the last lines of a check's log, or undefined if the forge has none. */
  checkLog(log: string, lines: number, options?: CallOptions): Promise<string | undefined>
  /**
   * Returns everything that people said at a pull request, oldest first, without resolved comments if the forge marks
   * those.
   */
  reviewNotes(number: number, options?: CallOptions): Promise<ReviewNote[]>

  /**
   * Makes sure that something is done once, such as `createPull` and `addComment`, which throw if they may have
   * arrived. In that case `look` checks whether they have, before the next try.
   */
  once<T>(post: () => Promise<T>, look: () => Promise<T | undefined>, options?: CallOptions): Promise<T>
}
