import * as z from 'zod'
import { ErrandError, isErrandError } from '../contract/errors.ts'
import type {
  CallOptions,
  Check,
  Comment,
  CommitStatus,
  Forge,
  Issue,
  IssueCursor,
  IssuePage,
  Labelling,
  Person,
  Pull,
  PullChange,
  PullInput,
  RepositoryFacts,
  ReviewNote,
  Right,
  Talk,
} from './forge.ts'
import { mayWrite } from './forge.ts'
import { type ForgeHttp, Refused } from './forge-http.ts'
import { GithubChecks } from './github-checks.ts'
import {
  CommentShape,
  commentOf,
  IssueShape,
  issueOf,
  Label,
  PAGE,
  PullShape,
  personOf,
  RepositoryShape,
  User,
} from './github-shapes.ts'
import { isDraftTitle, withDraftMark } from './marks.ts'

/** Kind of the API: Gitea and Forgejo share GitHub's paths, but differ in details. */
export type Profile = 'github' | 'gitea'

const IssueEvent = z.object({
  event: z.string(),
  actor: User,
  created_at: z.string(),
  label: Label.nullish(),
  rename: z.object({ from: z.string(), to: z.string() }).nullish(),
})
/**
 * Describes an entry of Gitea's timeline. For a label, `body` is "1" when it was added and empty when it was removed.
 */
const TimelineEntry = z.object({
  type: z.string(),
  user: User,
  created_at: z.string(),
  body: z.string().nullish(),
  label: Label.nullish(),
  old_title: z.string().nullish(),
  new_title: z.string().nullish(),
})
const LastEdit = z.object({
  data: z.object({
    repository: z.object({ issue: z.object({ lastEditedAt: z.string().nullable() }).nullable() }).nullable(),
  }),
})

interface Options {
  host: string
  /** `owner/name`. */
  path: string
  profile: Profile
}

/** Implements forges whose API has GitHub's paths: GitHub and its Enterprise Server, Gitea and Forgejo. */
export class GithubLikeForge implements Forge {
  readonly kind: Profile
  readonly host: string
  readonly path: string
  readonly #http: ForgeHttp
  readonly #repo: string
  readonly #checks: GithubChecks

  constructor(http: ForgeHttp, { host, path, profile }: Options) {
    this.kind = profile
    this.host = host
    this.path = path
    this.#http = http
    this.#repo = `/repos/${path.split('/').map(encodeURIComponent).join('/')}`
    this.#checks = new GithubChecks(this, http, this.#repo)
  }

  async repository({ signal }: CallOptions = {}): Promise<RepositoryFacts> {
    const { data, headers } = await this.#http.json(RepositoryShape, 'GET', this.#repo, { signal })
    const { permissions: own } = data
    const app = this.#http.tokens.permissions
    const right: Right =
      app !== undefined
        ? rightOfApp(app.contents)
        : own === undefined
          ? 'unknown'
          : own.admin
            ? 'admin'
            : own.push
              ? 'write'
              : own.pull
                ? 'read'
                : 'none'
    // Only GitHub's classic tokens report their scopes.
    const scopes = headers.get('x-oauth-scopes')?.split(/,\s*/)
    const isOutOfScope =
      scopes !== undefined && !scopes.includes('repo') && !(scopes.includes('public_repo') && !data.private)
    const known = right === 'unknown' ? undefined : mayWrite(right) && !data.archived && !isOutOfScope
    return {
      fullName: data.full_name,
      defaultBranch: data.default_branch,
      isPrivate: data.private,
      isArchived: data.archived,
      right,
      mayPush: known,
      mayOpenPulls: app === undefined ? known : app.pull_requests === 'write' && !data.archived,
      webUrl: data.html_url,
    }
  }

  async self({ signal }: CallOptions = {}): Promise<Person | undefined> {
    const login = await this.#http.tokens.login?.(signal)
    if (login !== undefined) return { id: '', login, isBot: true }
    try {
      return personOf((await this.#http.json(User, 'GET', '/user', { signal })).data)
    } catch (error) {
      if (error instanceof Refused && (error.httpStatus === 403 || error.httpStatus === 404)) return undefined
      throw error
    }
  }

  async rightOf({ login }: Person, { signal }: CallOptions = {}): Promise<Right> {
    const shape = z.object({ permission: z.string() })
    const path = `${this.#repo}/collaborators/${encodeURIComponent(login)}/permission`
    try {
      const { permission } = (await this.#http.json(shape, 'GET', path, { signal })).data
      if (permission === 'owner') return 'admin'
      return permission === 'admin' || permission === 'write' || permission === 'read' ? permission : 'none'
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      if (error.httpStatus === 404) return 'none'
      if (error.httpStatus === 403) return 'unknown'
      throw error
    }
  }

  async issue(number: number, { signal }: CallOptions = {}): Promise<Issue> {
    const sent = { signal, missing: `issue ${number} in ${this.path}` }
    const { data } = await this.#http.json(IssueShape, 'GET', `${this.#repo}/issues/${number}`, sent)
    // Issues and pull requests share their numbers, and this address answers for both.
    if (data.pull_request !== undefined && data.pull_request !== null)
      throw new ErrandError('not_found', `${number} in ${this.path} is a pull request, not an issue.`, {
        hint: 'Use the number of the issue instead.',
      })
    return issueOf(data)
  }

  async comments(talk: Talk, { signal, since }: CallOptions & { since?: string } = {}): Promise<Comment[]> {
    const sent = { query: { ...PAGE, since }, signal, missing: this.#named(talk) }
    const path = `${this.#repo}/issues/${talk.number}/comments`
    return (await this.#http.pages(z.array(CommentShape), path, sent)).map(commentOf)
  }

  async addComment(talk: Talk, body: string, { signal }: CallOptions = {}): Promise<Comment> {
    const sent = { body: { body }, signal, missing: this.#named(talk) }
    const path = `${this.#repo}/issues/${talk.number}/comments`
    return commentOf((await this.#http.json(CommentShape, 'POST', path, sent)).data)
  }

  async editComment(talk: Talk, id: string, body: string, { signal }: CallOptions = {}): Promise<Comment> {
    const sent = { body: { body }, signal, missing: `comment ${id} of ${this.#named(talk)}` }
    return commentOf(
      (await this.#http.json(CommentShape, 'PATCH', `${this.#repo}/issues/comments/${id}`, sent)).data,
    )
  }

  async labelling(number: number, label: string, options: CallOptions = {}): Promise<Labelling | undefined> {
    return this.kind === 'github'
      ? await this.#labellingOfGithub(number, label, options)
      : await this.#labellingOfGitea(number, label, options)
  }

  async #labellingOfGithub(number: number, label: string, options: CallOptions) {
    const sent = {
      query: PAGE,
      isWhole: true,
      signal: options.signal,
      missing: `issue ${number} in ${this.path}`,
    }
    const path = `${this.#repo}/issues/${number}/events`
    const before = await this.issue(number, options)
    const events = await this.#http.pages(z.array(IssueEvent), path, sent)
    const at = events.findLastIndex(
      (one) => /^(un)?labeled$/.test(one.event) && one.label?.name.toLowerCase() === label.toLowerCase(),
    )
    const last = events[at]
    if (last?.event !== 'labeled') return undefined
    // Read the text after the label was added, and before the time of its last edit, so that no edit is missed in
    // between.
    const issue = await this.issue(number, options)
    const editedAt = await this.#lastEditOf(number, options)
    const isSame = editedAt === null || (editedAt !== undefined && editedAt < last.created_at)
    const renames = (part: typeof events) => part.flatMap(({ rename }) => rename ?? [])
    const by = personOf(last.actor)
    return {
      by,
      right: await this.rightOf(by, options),
      at: last.created_at,
      title: titleThen(renames(events.slice(0, at)), renames(events.slice(at)), before.title),
      body: isSame ? issue.body : undefined,
    }
  }

  /** Returns when an issue's text was last edited: null if never, undefined if the forge does not say. */
  async #lastEditOf(number: number, { signal }: CallOptions): Promise<string | null | undefined> {
    const [owner, name] = this.path.split('/')
    const query =
      'query($owner:String!,$name:String!,$number:Int!)' +
      '{repository(owner:$owner,name:$name){issue(number:$number){lastEditedAt}}}'
    const sent = { body: { query, variables: { owner, name, number } }, signal, isRepeatable: true }
    try {
      const { data } = await this.#http.json(LastEdit, 'POST', this.#http.graphqlUrl, sent)
      return data.data.repository?.issue?.lastEditedAt
    } catch (error) {
      if (error instanceof Refused || (error as ErrandError).code === 'service_answer') return undefined
      throw error
    }
  }

  /**
   * Returns who labelled an issue on Gitea, which does not tell when a text was edited. The text is certain only if it
   * was never edited (Gitea 1.26 and later count edits) or the issue has not changed since.
   */
  async #labellingOfGitea(number: number, label: string, options: CallOptions) {
    const sent = {
      query: PAGE,
      isWhole: true,
      isUncounted: true,
      signal: options.signal,
      missing: `issue ${number} in ${this.path}`,
    }
    // For a missing issue, the timeline answers with an internal error.
    const before = await this.issue(number, options)
    const path = `${this.#repo}/issues/${number}/timeline`
    const entries = await this.#http.pages(z.array(TimelineEntry), path, sent)
    const at = entries.findLastIndex((one) => one.type === 'label' && one.label?.name === label)
    const last = entries[at]
    if (last === undefined || last.body !== '1') return undefined
    const { data } = await this.#http.json(IssueShape, 'GET', `${this.#repo}/issues/${number}`, sent)
    const issue = issueOf(data)
    if (!issue.labels.includes(label)) return undefined
    const count = data.content_version
    const renames = (part: typeof entries) =>
      part.flatMap((one) =>
        one.type === 'change_title' ? [{ from: one.old_title ?? '', to: one.new_title ?? '' }] : [],
      )
    const isSame = count === 0 || Date.parse(issue.updatedAt) <= Date.parse(last.created_at)
    const by = personOf(last.user)
    return {
      by,
      right: await this.rightOf(by, options),
      at: last.created_at,
      title: titleThen(renames(entries.slice(0, at)), renames(entries.slice(at)), before.title),
      body: isSame ? issue.body : undefined,
    }
  }

  async labelledIssues(label: string, cursor: IssueCursor, { signal }: CallOptions = {}): Promise<IssuePage> {
    const query = {
      labels: label,
      state: 'open',
      type: this.kind === 'gitea' ? 'issues' : undefined,
      since: cursor.since,
      sort: this.kind === 'github' ? 'updated' : undefined,
      direction: this.kind === 'github' ? 'asc' : undefined,
      ...PAGE,
    }
    const headers = cursor.etag === undefined ? undefined : { 'if-none-match': cursor.etag }
    const answer = await this.#http.json(z.array(IssueShape), 'GET', `${this.#repo}/issues`, {
      query,
      headers,
      signal,
    })
    if (answer.status === 304) return { issues: [], cursor }
    const issues = answer.data
      .filter(({ pull_request }) => pull_request === undefined || pull_request === null)
      .map(issueOf)
      // For a label that the repository does not have, Gitea returns all issues.
      .filter(({ labels }) => this.kind === 'github' || labels.includes(label))
      .sort((a, b) => Date.parse(a.updatedAt) - Date.parse(b.updatedAt))
    const since = issues.at(-1)?.updatedAt ?? cursor.since
    // The tag belongs to this query; it does not fit a next query with another time.
    const etag = since === cursor.since ? (answer.headers.get('etag') ?? undefined) : undefined
    return { issues, cursor: { since, etag } }
  }

  async pull(number: number, { signal }: CallOptions = {}): Promise<Pull> {
    const sent = { signal, missing: `pull request ${number} in ${this.path}` }
    return this.#pullOf((await this.#http.json(PullShape, 'GET', `${this.#repo}/pulls/${number}`, sent)).data)
  }

  async pulls(from: { head: string; base?: string }, { signal }: CallOptions = {}): Promise<Pull[]> {
    const [owner] = this.path.split('/')
    const query =
      this.kind === 'github'
        ? { head: `${owner}:${from.head}`, base: from.base, state: 'all', ...PAGE }
        : { state: 'all', sort: 'recentupdate', ...PAGE }
    const sent = { query, signal }
    const all = await this.#http.pages(z.array(PullShape), `${this.#repo}/pulls`, sent)
    return all
      .map((each) => this.#pullOf(each))
      .filter(
        ({ head, base, isSameRepository }) =>
          head === from.head && base === (from.base ?? base) && isSameRepository,
      )
      .sort((a, b) => b.number - a.number)
  }

  async createPull(input: PullInput, { signal }: CallOptions = {}): Promise<Pull> {
    const { head, base, body, isDraft } = input
    const fields =
      this.kind === 'github'
        ? { title: input.title, head, base, body, draft: isDraft }
        : { title: isDraft ? withDraftMark(input.title, 'gitea') : input.title, head, base, body }
    try {
      const sent = { body: fields, signal, denied: 'forge_denied' as const }
      return this.#pullOf((await this.#http.json(PullShape, 'POST', `${this.#repo}/pulls`, sent)).data)
    } catch (error) {
      throw this.#pullRefusal(error, input)
    }
  }

  async changePull(number: number, change: PullChange, { signal }: CallOptions = {}): Promise<Pull> {
    const sent = { body: change, signal, missing: `pull request ${number} in ${this.path}` }
    return this.#pullOf(
      (await this.#http.json(PullShape, 'PATCH', `${this.#repo}/pulls/${number}`, sent)).data,
    )
  }

  async addLabels(talk: Talk, labels: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    const labelIds = this.kind === 'github' ? labels : await this.#labelIds(labels, signal)
    await this.#http.json(z.unknown(), 'POST', `${this.#repo}/issues/${talk.number}/labels`, {
      body: { labels: labelIds },
      signal,
      missing: this.#named(talk),
      isRepeatable: true,
    })
  }

  async #labelIds(names: readonly string[], signal: AbortSignal | undefined): Promise<number[]> {
    const path = `${this.#repo}/labels`
    const all = z.array(Label.required())
    const known = async () => await this.#http.pages(all, path, { query: PAGE, signal })
    let there = await known()
    for (const name of names) {
      if (there.some((label) => label.name === name)) continue
      const sent = { body: { name, color: '#8b949e' }, signal }
      const made = await this.#http.once(
        async () => (await this.#http.json(Label.required(), 'POST', path, sent)).data,
        async () => (await known()).find((label) => label.name === name),
        signal,
      )
      there = [...there, made]
    }
    return names.map((name) => there.find((label) => label.name === name)!.id)
  }

  async askReviewers(number: number, logins: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    await this.#http.json(z.unknown(), 'POST', `${this.#repo}/pulls/${number}/requested_reviewers`, {
      body: { reviewers: logins },
      signal,
      missing: `pull request ${number} in ${this.path}`,
      isRepeatable: true,
    })
  }

  async setStatus(sha: string, status: CommitStatus, { signal }: CallOptions = {}): Promise<void> {
    const { state, context, description, url } = status
    const missing = `commit ${sha} in ${this.path}`
    try {
      await this.#http.json(z.unknown(), 'POST', `${this.#repo}/statuses/${sha}`, {
        body: { state, context, description: description.slice(0, 140), target_url: url },
        signal,
        missing,
        // Only the newest status of a name counts.
        isRepeatable: true,
      })
    } catch (error) {
      // For a missing commit, Gitea answers with an internal error without a message.
      if (this.kind === 'gitea' && isErrandError(error) && error.code === 'forge_away')
        await this.#http.json(z.unknown(), 'GET', `${this.#repo}/git/commits/${sha}`, { signal, missing })
      throw error
    }
  }

  async checks(sha: string, base: string, options?: CallOptions): Promise<Check[]> {
    return await this.#checks.checks(sha, base, options)
  }

  async checkLog(log: string, lines: number, options?: CallOptions): Promise<string | undefined> {
    return await this.#checks.checkLog(log, lines, options)
  }

  async reviewNotes(number: number, options?: CallOptions): Promise<ReviewNote[]> {
    return await this.#checks.reviewNotes(number, options)
  }

  async once<T>(
    post: () => Promise<T>,
    look: () => Promise<T | undefined>,
    options: CallOptions = {},
  ): Promise<T> {
    return await this.#http.once(post, look, options.signal)
  }

  #named({ kind, number }: Talk): string {
    return `${kind === 'issue' ? 'issue' : 'pull request'} ${number} in ${this.path}`
  }

  #pullOf(shape: z.infer<typeof PullShape>): Pull {
    const isMerged = shape.merged === true || Boolean(shape.merged_at)
    return {
      number: shape.number,
      title: shape.title,
      body: shape.body ?? '',
      state: isMerged ? 'merged' : shape.state,
      isDraft: shape.draft ?? (this.kind === 'gitea' && isDraftTitle(shape.title)),
      author: personOf(shape.user),
      labels: (shape.labels ?? []).map(({ name }) => name),
      head: shape.head.ref,
      base: shape.base.ref,
      headSha: shape.head.sha,
      isSameRepository: shape.head.repo?.full_name.toLowerCase() === shape.base.repo?.full_name.toLowerCase(),
      mergeable: shape.mergeable ?? undefined,
      mergeSha: isMerged ? (shape.merge_commit_sha ?? undefined) : undefined,
      webUrl: shape.html_url,
    }
  }

  #pullRefusal(error: unknown, { head, base }: PullInput): unknown {
    if (!(error instanceof Refused) || ![403, 404, 409, 422].includes(error.httpStatus)) return error
    const { httpStatus, words } = error
    // On GitHub, 404 means the repository; on Gitea it can also mean a branch.
    if (error.code === 'repo_archived' || (httpStatus === 404 && this.kind === 'github')) return error
    if (httpStatus === 403)
      return new ErrandError(
        'forge_denied',
        `This token may not open pull requests in ${this.path}: "${words}".`,
        {
          hint: 'Give it write permission for pull requests, or open the pull request by hand.',
          cause: error,
        },
      )
    const exists = httpStatus === 409 || /already exists/i.test(words)
    const cause = exists ? 'exists' : /draft/i.test(words) ? 'draft' : undefined
    return new ErrandError(
      'pull_request',
      `${this.host} rejected the pull request from ${head} to ${base} in ${this.path}: ${words || `HTTP ${httpStatus}`}.`,
      {
        hint: 'The branch exists: open the pull request by hand, or fix what the forge objects to.',
        details: cause === undefined ? undefined : { cause },
        cause: error,
      },
    )
  }
}

interface Rename {
  from: string
  to: string
}

/** Returns the title between two sets of renames; `first`, which was read before them, if there are none. */
const titleThen = (before: readonly Rename[], after: readonly Rename[], first: string): string =>
  after[0]?.from ?? before.at(-1)?.to ?? first

const rightOfApp = (contents: 'read' | 'write' | undefined): Right => contents ?? 'none'
