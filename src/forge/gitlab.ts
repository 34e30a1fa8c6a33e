import * as z from 'zod'
import { ErrandError } from '../contract/errors.ts'
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
import { withRights } from './forge.ts'
import { type ForgeHttp, Refused } from './forge-http.ts'
import {
  commentOf,
  DEVELOPER,
  Discussion,
  IssueShape,
  issueOf,
  LabelEvent,
  MergeRequest,
  Note,
  Project,
  personOf,
  pullOf,
  Reviewer,
  rightAt,
  StatusShape,
  statusResults,
  statusWords,
  User,
} from './gitlab-shapes.ts'
import { withDraftMark } from './marks.ts'

/** Implements GitLab, with version 4 of its API. */
export class GitlabForge implements Forge {
  readonly kind = 'gitlab'
  readonly host: string
  readonly path: string
  readonly #http: ForgeHttp
  readonly #project: string

  constructor(http: ForgeHttp, { host, path }: { host: string; path: string }) {
    this.host = host
    this.path = path
    this.#http = http
    this.#project = `/projects/${encodeURIComponent(path)}`
  }

  async repository({ signal }: CallOptions = {}): Promise<RepositoryFacts> {
    const { data } = await this.#http.json(Project, 'GET', this.#project, { signal })
    const { permissions: own } = data
    const level = Math.max(own?.project_access?.access_level ?? 0, own?.group_access?.access_level ?? 0)
    // GitLab omits this field for some tokens.
    const right = own === undefined ? 'unknown' : rightAt(level, data.visibility !== 'private')
    const known = right === 'unknown' ? undefined : level >= DEVELOPER && !data.archived
    return {
      fullName: data.path_with_namespace,
      defaultBranch: data.default_branch ?? '',
      isPrivate: data.visibility !== undefined && data.visibility !== 'public',
      isArchived: data.archived,
      right,
      mayPush: known,
      mayOpenPulls: known,
      webUrl: data.web_url,
    }
  }

  async self({ signal }: CallOptions = {}): Promise<Person | undefined> {
    try {
      return personOf((await this.#http.json(User, 'GET', '/user', { signal })).data)
    } catch (error) {
      if (error instanceof Refused && (error.httpStatus === 403 || error.httpStatus === 404)) return undefined
      throw error
    }
  }

  async rightOf({ id }: Person, { signal }: CallOptions = {}): Promise<Right> {
    if (id === '') return 'none'
    try {
      const path = `${this.#project}/members/all/${id}`
      const { data } = await this.#http.json(z.object({ access_level: z.number() }), 'GET', path, { signal })
      return rightAt(data.access_level, false)
    } catch (error) {
      if (error instanceof Refused && error.httpStatus === 404) return 'none'
      if (error instanceof Refused && error.httpStatus === 403) return 'unknown'
      throw error
    }
  }

  async issue(number: number, { signal }: CallOptions = {}): Promise<Issue> {
    const sent = { signal, missing: `issue ${number} in ${this.path}` }
    return issueOf((await this.#http.json(IssueShape, 'GET', `${this.#project}/issues/${number}`, sent)).data)
  }

  async comments(talk: Talk, { signal, since }: CallOptions & { since?: string } = {}): Promise<Comment[]> {
    const order = since === undefined ? 'asc' : 'desc'
    const notes = await this.#notes(talk, { signal, order })
    if (order === 'desc') notes.reverse()
    return notes.filter(({ system }) => !system).map(commentOf)
  }

  async #notes(
    talk: Talk,
    options: { signal?: AbortSignal; isWhole?: boolean; order?: 'asc' | 'desc' },
  ): Promise<z.infer<typeof Note>[]> {
    const { signal, isWhole, order = 'asc' } = options
    const query = { per_page: 100, sort: order, order_by: 'created_at' }
    return await this.#http.pages(z.array(Note), this.#notesOf(talk), {
      query,
      signal,
      missing: this.#named(talk),
      isWhole,
    })
  }

  async addComment(talk: Talk, body: string, { signal }: CallOptions = {}): Promise<Comment> {
    const sent = { body: { body }, signal, missing: this.#named(talk) }
    return commentOf((await this.#http.json(Note, 'POST', this.#notesOf(talk), sent)).data)
  }

  async editComment(talk: Talk, id: string, body: string, { signal }: CallOptions = {}): Promise<Comment> {
    const sent = { body: { body }, signal, missing: `comment ${id} of ${this.#named(talk)}` }
    return commentOf((await this.#http.json(Note, 'PUT', `${this.#notesOf(talk)}/${id}`, sent)).data)
  }

  async labelling(number: number, label: string, options: CallOptions = {}): Promise<Labelling | undefined> {
    const { signal } = options
    const query = { per_page: 100 }
    const path = `${this.#project}/issues/${number}/resource_label_events`
    const events = await this.#http.pages(z.array(LabelEvent), path, {
      query,
      signal,
      isWhole: true,
      missing: `issue ${number} in ${this.path}`,
    })
    const last = events.findLast((one) => one.label?.name === label)
    if (last?.action !== 'add') return undefined
    // Read the text after the label was added, and before the notes about edits, so that no edit is missed in between.
    const issue = await this.issue(number, options)
    const notes = await this.#notes({ kind: 'issue', number }, { signal, isWhole: true })
    const isSame = (changed: RegExp) =>
      !notes.some(
        (note) =>
          note.system &&
          changed.test(note.body) &&
          Date.parse(note.created_at) >= Date.parse(last.created_at),
      )
    const by = personOf(last.user)
    return {
      by,
      right: await this.rightOf(by, options),
      at: last.created_at,
      title: isSame(/^changed title/i) ? issue.title : undefined,
      body: isSame(/^changed the description|^marked the (task|checklist item)/i) ? issue.body : undefined,
    }
  }

  async labelledIssues(label: string, cursor: IssueCursor, { signal }: CallOptions = {}): Promise<IssuePage> {
    const query = {
      labels: label,
      state: 'opened',
      updated_after: cursor.since,
      order_by: 'updated_at',
      sort: 'asc',
      per_page: 100,
    }
    const headers = cursor.etag === undefined ? undefined : { 'if-none-match': cursor.etag }
    const sent = { query, headers, signal }
    const answer = await this.#http.json(z.array(IssueShape), 'GET', `${this.#project}/issues`, sent)
    if (answer.status === 304) return { issues: [], cursor }
    const issues = answer.data.map(issueOf)
    const since = issues.at(-1)?.updatedAt ?? cursor.since
    const etag = since === cursor.since ? (answer.headers.get('etag') ?? undefined) : undefined
    return { issues, cursor: { since, etag } }
  }

  async pull(number: number, { signal }: CallOptions = {}): Promise<Pull> {
    return pullOf(await this.#mergeRequest(number, signal))
  }

  async #mergeRequest(number: number, signal: AbortSignal | undefined) {
    const sent = { signal, missing: `merge request ${number} in ${this.path}` }
    return (await this.#http.json(MergeRequest, 'GET', `${this.#project}/merge_requests/${number}`, sent))
      .data
  }

  async pulls(
    { head, base }: { head: string; base?: string },
    { signal }: CallOptions = {},
  ): Promise<Pull[]> {
    const query = { source_branch: head, target_branch: base, state: 'all', per_page: 100 }
    const all = await this.#http.pages(z.array(MergeRequest), `${this.#project}/merge_requests`, {
      query,
      signal,
    })
    return all
      .map(pullOf)
      .filter((one) => one.isSameRepository && one.head === head && one.base === (base ?? one.base))
      .sort((a, b) => b.number - a.number)
  }

  async createPull(input: PullInput, { signal }: CallOptions = {}): Promise<Pull> {
    const body = {
      source_branch: input.head,
      target_branch: input.base,
      title: input.isDraft ? withDraftMark(input.title, 'gitlab') : input.title,
      description: input.body,
    }
    try {
      const sent = { body, signal }
      return pullOf(
        (await this.#http.json(MergeRequest, 'POST', `${this.#project}/merge_requests`, sent)).data,
      )
    } catch (error) {
      throw this.#pullRefusal(error, input)
    }
  }

  async changePull(number: number, change: PullChange, { signal }: CallOptions = {}): Promise<Pull> {
    const { title, body: description, base: target_branch, state } = change
    const state_event = state === undefined ? undefined : 'reopen'
    return await this.#changeRequest(number, { title, description, target_branch, state_event }, signal)
  }

  async #changeRequest(number: number, body: object, signal: AbortSignal | undefined): Promise<Pull> {
    const sent = { body, signal, missing: `merge request ${number} in ${this.path}` }
    return pullOf(
      (await this.#http.json(MergeRequest, 'PUT', `${this.#project}/merge_requests/${number}`, sent)).data,
    )
  }

  async addLabels(talk: Talk, labels: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    const kind = talk.kind === 'issue' ? 'issues' : 'merge_requests'
    await this.#http.json(z.unknown(), 'PUT', `${this.#project}/${kind}/${talk.number}`, {
      body: { add_labels: labels.join(',') },
      signal,
      missing: this.#named(talk),
    })
  }

  async askReviewers(number: number, logins: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    const there = (await this.#mergeRequest(number, signal)).reviewers ?? []
    const found = await Promise.all(
      logins.map(async (username) => {
        const { data } = await this.#http.json(z.array(User), 'GET', '/users', {
          query: { username },
          signal,
        })
        const [user] = data
        if (user) return user.id
        throw new ErrandError('not_found', `${this.host} has no user "${username}".`, {
          hint: 'Check the name.',
        })
      }),
    )
    // This call replaces the list of reviewers, so include those already requested.
    const all = new Set([...there.flatMap((user) => (user ? [user.id] : [])), ...found])
    await this.#changeRequest(number, { reviewer_ids: [...all] }, signal)
  }

  async setStatus(sha: string, status: CommitStatus, { signal }: CallOptions = {}): Promise<void> {
    const { context, description, url } = status
    try {
      await this.#http.json(z.unknown(), 'POST', `${this.#project}/statuses/${sha}`, {
        body: {
          state: statusWords[status.state],
          name: context,
          description: description.slice(0, 140),
          target_url: url,
        },
        signal,
        missing: `commit ${sha} in ${this.path}`,
        isRepeatable: true,
      })
    } catch (error) {
      // The status already has this value.
      if (error instanceof Refused && /cannot transition status/i.test(error.words)) return
      throw error
    }
  }

  async checks(sha: string, _base: string, { signal }: CallOptions = {}): Promise<Check[]> {
    const path = `${this.#project}/repository/commits/${sha}/statuses`
    const sent = { query: { per_page: 100 }, signal, missing: `commit ${sha} in ${this.path}` }
    const all = await this.#http.pages(z.array(StatusShape), path, sent)
    const newest = new Map<string, z.infer<typeof StatusShape>>()
    for (const one of all) if (one.id > (newest.get(one.name)?.id ?? -1)) newest.set(one.name, one)
    return [...newest.values()].map((one) => ({
      name: one.name,
      result: statusResults[one.status] ?? 'other',
      isRequired: !one.allow_failure,
      summary: one.description || one.status,
      url: one.target_url || undefined,
      log: String(one.id),
    }))
  }

  async checkLog(log: string, lines: number, { signal }: CallOptions = {}): Promise<string | undefined> {
    try {
      return await this.#http.lastLines(`${this.#project}/jobs/${log}/trace`, lines, {
        signal,
        missing: `job ${log}`,
      })
    } catch (error) {
      // A status that another program set has no job.
      if (error instanceof Refused && [403, 404].includes(error.httpStatus)) return undefined
      throw error
    }
  }

  async reviewNotes(number: number, options: CallOptions = {}): Promise<ReviewNote[]> {
    const { signal } = options
    const path = `${this.#project}/merge_requests/${number}`
    const missing = `merge request ${number} in ${this.path}`
    const [discussions, reviewers] = await Promise.all([
      this.#http.pages(z.array(Discussion), `${path}/discussions`, {
        query: { per_page: 100 },
        signal,
        missing,
      }),
      this.#http.json(z.array(Reviewer), 'GET', `${path}/reviewers`, { signal, missing }).then(
        ({ data }) => data,
        (error: unknown) => {
          if (error instanceof Refused && error.httpStatus === 404) return []
          throw error
        },
      ),
    ])
    const asking = new Set(
      reviewers.filter(({ state }) => state === 'requested_changes').map(({ user }) => user?.username),
    )
    const open = discussions
      .flatMap(({ notes }) => notes)
      .filter(({ system, resolved }) => !system && resolved !== true)
    const notes = open.map((note) => {
      const author = personOf(note.author)
      return {
        id: String(note.id),
        author,
        body: note.body,
        asksForChanges: asking.has(author.login),
        path: note.position?.new_path ?? note.position?.old_path ?? undefined,
        line: note.position?.new_line ?? note.position?.old_line ?? undefined,
        sha: note.position?.head_sha ?? undefined,
        createdAt: note.created_at,
      }
    })
    return await withRights(this, notes, options)
  }

  async once<T>(
    post: () => Promise<T>,
    look: () => Promise<T | undefined>,
    options: CallOptions = {},
  ): Promise<T> {
    return await this.#http.once(post, look, options.signal)
  }

  #notesOf({ kind, number }: Talk): string {
    return `${this.#project}/${kind === 'issue' ? 'issues' : 'merge_requests'}/${number}/notes`
  }

  #named({ kind, number }: Talk): string {
    return `${kind === 'issue' ? 'issue' : 'merge request'} ${number} in ${this.path}`
  }

  #pullRefusal(error: unknown, { head, base }: PullInput): unknown {
    if (!(error instanceof Refused) || ![400, 403, 409, 422].includes(error.httpStatus)) return error
    const { httpStatus, words } = error
    if (error.code === 'repo_archived') return error
    if (httpStatus === 403)
      return new ErrandError(
        'forge_denied',
        `This token may not open merge requests in ${this.path}: "${words}".`,
        {
          hint: 'Give it the scope "api" and the role Developer, or open the merge request by hand.',
          cause: error,
        },
      )
    return new ErrandError(
      'pull_request',
      `${this.host} rejected the merge request from ${head} to ${base} in ${this.path}: ${words || `HTTP ${httpStatus}`}.`,
      {
        hint: 'The branch exists: open the merge request by hand, or fix what the forge objects to.',
        details: httpStatus === 409 || /already exists/i.test(words) ? { cause: 'exists' } : undefined,
        cause: error,
      },
    )
  }
}
