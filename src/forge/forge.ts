import type { ForgeKind } from '../contract/tasks/forge.ts'

/** How much a person or a token may do in a repository; `unknown` where the forge does not say. */
export type Right = 'none' | 'read' | 'write' | 'admin' | 'unknown'

export const mayWrite = (right: Right): boolean => right === 'write' || right === 'admin'

/** Whoever wrote something. `id` is the forge's own, as text; a deleted account is the login "ghost". */
export interface Person {
  id: string
  login: string
  isBot: boolean
}

export interface RepositoryFacts {
  /** `owner/name`, of GitLab with all groups, as the forge writes it. */
  fullName: string
  defaultBranch: string
  isPrivate: boolean
  isArchived: boolean
  /** Of the token, to the repository. */
  right: Right
  /** Undefined where the forge does not tell it beforehand. */
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

/** Who put a label on an issue last, and the issue's text as it stood then. */
export interface Labelling {
  by: Person
  /** Of that person, now. */
  right: Right
  /** RFC 3339. */
  at: string
  /** Undefined where it was changed since and the forge keeps no older one, or does not say whether it was. */
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
  /** Branches. */
  head: string
  base: string
  headSha: string
  /** Whether the head's branch is in this repository, and not in a fork. */
  isSameRepository: boolean
  /** Undefined while the forge works it out. */
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

/** `isDraft` cannot be changed on all forges; a title that is changed keeps its mark of a draft (`draftTitle`). */
export interface PullChange {
  title?: string
  body?: string
  base?: string
  state?: 'open'
}

export type CommitState = 'pending' | 'success' | 'failure' | 'error'
export interface CommitStatus {
  state: CommitState
  /** Its name among the statuses of a commit. */
  context: string
  /** Cut at 140 characters. */
  description: string
  url?: string
}

/** `failed` is failure, timed out or not started; canceled, skipped, neutral and stale ones are `other`. */
export type CheckResult = 'running' | 'passed' | 'failed' | 'other'
export interface Check {
  name: string
  result: CheckResult
  /** Whether the base asks for it before a merge; undefined where it asks for none, or the forge does not say for which. */
  isRequired: boolean | undefined
  /** The forge's own words. */
  summary: string
  url: string | undefined
  /** Given to `checkLog`; undefined where there is no log. */
  log: string | undefined
}

/** A word of a reviewer: of a review as a whole, at a line of a file, or of the conversation. */
export interface ReviewNote {
  id: string
  author: Person
  right: Right
  body: string
  /** Whether it is of a review that asks for changes. */
  asksForChanges: boolean
  path: string | undefined
  line: number | undefined
  /** The commit that it was written on, where known. */
  sha: string | undefined
  createdAt: string
}

/** Where to go on from; `etag` and `since` are the forge's. */
export interface IssueCursor {
  since?: string
  etag?: string
}
export interface IssuePage {
  issues: Issue[]
  cursor: IssueCursor
}

export interface CallOptions {
  /** Ends waits and requests; its reason is thrown. */
  signal?: AbortSignal
}

/** `notes` with the right of each author, in the order of their time; each author is asked for once. */
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

/** Comments stand at one of these; GitLab counts them apart. */
export interface Talk {
  kind: 'issue' | 'pull'
  number: number
}

/**
 * One repository at one forge, with one token. Calls may go on at the same time. Each throws `ErrandError`: `repo_not_found`,
 * `repo_auth`, `repo_archived`, `push_denied`, `forge_denied`, `pull_request`, `forge_busy`, `forge_away`, `service_answer`,
 * `not_found` for an issue or pull request that is not there. None of them has the token in it.
 * `createPull` and `addComment` are called within `once`; `ensurePull` and `ensureComment` do so.
 */
export interface Forge {
  readonly kind: ForgeKind
  /** As it is shown: the host, with a port that is not the usual one. */
  readonly host: string
  /** `owner/name`, as given. */
  readonly path: string

  repository(options?: CallOptions): Promise<RepositoryFacts>
  /** Whose token it is; undefined where a token may not ask. */
  self(options?: CallOptions): Promise<Person | undefined>
  rightOf(person: Person, options?: CallOptions): Promise<Right>

  issue(number: number, options?: CallOptions): Promise<Issue>
  /**
   * Without those that the forge writes itself. The oldest first, 1,000 at most; with `since` (RFC 3339) those alone that were
   * written or changed since, or, where a forge does not tell those, the newest.
   */
  comments(talk: Talk, options?: CallOptions & { since?: string }): Promise<Comment[]>
  addComment(talk: Talk, body: string, options?: CallOptions): Promise<Comment>
  editComment(talk: Talk, id: string, body: string, options?: CallOptions): Promise<Comment>
  /** Undefined where the label is not on it, or the forge does not tell who put it there. */
  labelling(number: number, label: string, options?: CallOptions): Promise<Labelling | undefined>
  /** Open ones that have the label and were changed since the cursor, the oldest change first; one may come twice. */
  labelledIssues(label: string, cursor: IssueCursor, options?: CallOptions): Promise<IssuePage>

  pull(number: number, options?: CallOptions): Promise<Pull>
  /** Those from the branch `head` of this repository, to `base` where given; in any state, the newest first. */
  pulls(from: { head: string; base?: string }, options?: CallOptions): Promise<Pull[]>
  /** Throws `pull_request` with `details.cause` "exists" or "draft" where that is what the forge minds. */
  createPull(input: PullInput, options?: CallOptions): Promise<Pull>
  changePull(number: number, change: PullChange, options?: CallOptions): Promise<Pull>
  /** Labels that the repository does not have are made. */
  addLabels(talk: Talk, labels: readonly string[], options?: CallOptions): Promise<void>
  /** Beside those that are asked already. */
  askReviewers(number: number, logins: readonly string[], options?: CallOptions): Promise<void>

  setStatus(sha: string, status: CommitStatus, options?: CallOptions): Promise<void>
  /** All of a commit, the newest of each name. */
  checks(sha: string, base: string, options?: CallOptions): Promise<Check[]>
  /** The last lines of a check's log; undefined where the forge gives none. */
  checkLog(log: string, lines: number, options?: CallOptions): Promise<string | undefined>
  /** All that people said at a pull request, the oldest first. Those that are settled are left out where the forge says so. */
  reviewNotes(number: number, options?: CallOptions): Promise<ReviewNote[]>

  /**
   * Does what is to be done once, such as `createPull` and `addComment`, which throw where it may have arrived or not: then `look`
   * tells whether it has, before it is tried again.
   */
  once<T>(post: () => Promise<T>, look: () => Promise<T | undefined>, options?: CallOptions): Promise<T>
}
