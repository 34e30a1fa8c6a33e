import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** File contents by path; null deletes a file. */
export type Files = Readonly<Record<string, string | Buffer | null>>
export type Right = 'read' | 'write' | 'admin'

export interface User {
  id: number
  login: string
  isBot: boolean
}
export interface Token {
  token: string
  login: string
  /** The upper limit; a repository may grant the user less. */
  right: Right
  /** The right for git, if it is less. */
  gitRight?: Right
  mayOpenPulls: boolean
  /** The repositories that it may use; undefined means all. */
  repositories?: string[]
  /** Milliseconds since 1970. */
  endsMs?: number
}
export interface Note {
  id: number
  by: string
  body: string
  createdMs: number
  updatedMs: number
  /** The file, for a comment on a line. */
  path?: string
  line?: number
  sha?: string
  reviewId?: number
  isResolved?: boolean
  /** Whether the forge itself wrote it. */
  isSystem?: boolean
}
export interface Happening {
  kind: 'labeled' | 'unlabeled' | 'renamed' | 'described'
  by: string
  atMs: number
  label?: string
  oldTitle?: string
  newTitle?: string
}
export interface Review {
  id: number
  by: string
  state: 'approved' | 'changes' | 'comment'
  body: string
  sha: string
  atMs: number
}
/** An issue, or, with `pull`, a pull request. */
export interface Ticket {
  number: number
  title: string
  body: string
  by: string
  isOpen: boolean
  labels: string[]
  notes: Note[]
  happenings: Happening[]
  createdMs: number
  updatedMs: number
  editedMs?: number
  pull?: {
    head: string
    base: string
    isDraft: boolean
    reviewers: string[]
    reviews: Review[]
    mergeSha?: string
    /** The head at the time of the merge or the closing. */
    lastSha?: string
  }
}
export interface CheckState {
  id: number
  sha: string
  name: string
  /** A word of the flavour's own. */
  state: string
  description: string
  url: string
  log?: string
  /** Whether it is a check run of GitHub's; others have commit statuses. */
  isRun: boolean
  allowFailure: boolean
}
export interface Repository {
  id: number
  /** `owner/name` */
  path: string
  isPrivate: boolean
  isArchived: boolean
  defaultBranch: string
  takesDrafts: boolean
  rights: Record<string, Right>
  labels: { id: number; name: string }[]
  tickets: Ticket[]
  checks: CheckState[]
  protectedBranches: { branch: string; required: string[] }[]
  hooks: { url: string; secret: string }[]
}

/** Called for each write that triggers a hook of the forge. */
export type OnEvent = (repository: Repository, event: string, payload: Record<string, unknown>) => void

/**
 * Holds the data of a forge: a folder with a bare repository for each, and everything else in `state.json`, which is
 * written at each change.
 */
export class ForgeState {
  readonly folder: string
  readonly users: User[] = []
  readonly tokens: Token[] = []
  readonly repositories: Repository[] = []
  onEvent: OnEvent = () => undefined
  /** Whether pull requests have their own numbers, as in GitLab. */
  readonly #countsApart: boolean
  readonly #mergeable = new Map<string, boolean>()
  #lastId = 100
  #nowMs = 0

  constructor(folder: string, countsApart: boolean) {
    this.folder = folder
    this.#countsApart = countsApart
  }

  save(): void {
    const { users, tokens, repositories } = this
    writeFileSync(join(this.folder, 'state.new'), JSON.stringify({ users, tokens, repositories }, null, 1))
    renameSync(join(this.folder, 'state.new'), join(this.folder, 'state.json'))
  }

  id(): number {
    return ++this.#lastId
  }

  /**
   * Returns a time that is a second after the last one, because forges store whole seconds and no test waits for one.
   */
  moment(): number {
    this.#nowMs = Math.max(this.#nowMs + 1000, Math.floor(Date.now() / 1000) * 1000)
    return this.#nowMs
  }

  user(login: string, isBot = false): User {
    let found = this.users.find((one) => one.login === login)
    if (found === undefined) {
      found = { id: this.id(), login, isBot }
      this.users.push(found)
    }
    return found
  }

  repository(path: string): Repository | undefined {
    return this.repositories.find((one) => one.path.toLowerCase() === path.toLowerCase())
  }

  /** Returns the right of a login to a repository, or undefined for none. */
  rightOf({ rights, isPrivate, path }: Repository, login: string | undefined): Right | undefined {
    if (login !== undefined && path.split('/')[0] === login) return 'admin'
    return (login === undefined ? undefined : rights[login]) ?? (isPrivate ? undefined : 'read')
  }

  /** Returns the right of a token, which never exceeds that of its user. */
  rightOfToken(repository: Repository, token: Token | undefined): Right | undefined {
    const own = this.rightOf(repository, token?.login)
    if (token === undefined || own === undefined) return own
    const isCovered = token.repositories === undefined || token.repositories.includes(repository.path)
    if (!isCovered) return repository.isPrivate ? undefined : 'read'
    const order: Right[] = ['read', 'write', 'admin']
    return order[Math.min(order.indexOf(own), order.indexOf(token.right))]
  }

  gitFolder = (path: string): string => join(this.folder, 'repositories', `${path}.git`)

  git(path: string, args: readonly string[], input?: string | Buffer): string {
    return execFileSync('git', ['-c', 'user.name=forge', '-c', 'user.email=forge@example.org', ...args], {
      cwd: this.gitFolder(path),
      env: { PATH: process.env.PATH, GIT_CONFIG_NOSYSTEM: '1', HOME: this.folder },
      encoding: 'utf8',
      input,
      stdio: ['pipe', 'pipe', 'pipe'],
      maxBuffer: 64 * 1024 * 1024,
    }).trim()
  }

  /** Returns the id of a commit, or undefined if there is no such branch or commit. */
  shaOf(path: string, revision: string): string | undefined {
    try {
      // A branch usually is a file; asking git for it would take a process.
      if (revision.startsWith('refs/heads/'))
        return readFileSync(join(this.gitFolder(path), revision), 'latin1').trim()
    } catch {
      // The reference may be packed.
    }
    try {
      return this.git(path, ['rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`])
    } catch {
      return undefined
    }
  }

  makeRepository(path: string, options: { files?: Files; bundle?: string; isPrivate?: boolean }): Repository {
    const folder = this.gitFolder(path)
    mkdirSync(folder, { recursive: true })
    this.git(path, ['init', '--quiet', '--bare', '--template=', '--initial-branch=main'])
    mkdirSync(join(folder, 'hooks'))
    appendFileSync(join(folder, 'config'), repositoryConfig)
    writeFileSync(join(folder, 'hooks', 'pre-receive'), preReceive, { mode: 0o755 })
    writeFileSync(join(folder, 'protected'), '')
    if (options.bundle !== undefined) {
      this.git(path, [
        'fetch',
        '--quiet',
        options.bundle,
        '+refs/heads/*:refs/heads/*',
        '+refs/tags/*:refs/tags/*',
      ])
    }
    const repository: Repository = {
      id: this.id(),
      path,
      isPrivate: options.isPrivate ?? false,
      isArchived: false,
      defaultBranch: 'main',
      takesDrafts: true,
      rights: {},
      labels: [],
      tickets: [],
      checks: [],
      protectedBranches: [],
      hooks: [],
    }
    this.repositories.push(repository)
    if (options.files !== undefined) this.commit(path, 'main', options.files, 'First commit')
    this.save()
    return repository
  }

  /** Commits to a branch and returns the commit's id. A new branch starts at the default branch. */
  commit(path: string, branch: string, files: Files, message: string, by = 'person'): string {
    const parent = this.shaOf(path, `refs/heads/${branch}`) ?? this.shaOf(path, 'refs/heads/main')
    const seconds = this.moment() / 1000
    const parts: (string | Buffer)[] = [
      `commit refs/heads/${branch}\ncommitter ${by} <${by}@example.org> ${seconds} +0000\n`,
      `data ${Buffer.byteLength(message)}\n${message}\n`,
      parent === undefined ? '' : `from ${parent}\n`,
    ]
    for (const [name, content] of Object.entries(files)) {
      if (content === null) parts.push(`D ${JSON.stringify(name)}\n`)
      else {
        const bytes = Buffer.from(content)
        parts.push(`M 100644 inline ${JSON.stringify(name)}\ndata ${bytes.length}\n`, bytes, '\n')
      }
    }
    const input = Buffer.concat([...parts, '\n'].map((part) => Buffer.from(part)))
    this.git(path, ['fast-import', '--quiet', '--force'], input)
    return this.shaOf(path, `refs/heads/${branch}`)!
  }

  protect(repository: Repository, branch: string, required: string[] = []): void {
    repository.protectedBranches.push({ branch, required })
    const lines = repository.protectedBranches.map((one) => `refs/heads/${one.branch}\n`)
    writeFileSync(join(this.gitFolder(repository.path), 'protected'), lines.join(''))
    this.save()
  }

  /** Returns an issue or a pull request. `kind` matters where they have separate numbers. */
  ticket(repository: Repository, number: number, kind: 'issue' | 'pull' | 'any' = 'any'): Ticket | undefined {
    return repository.tickets.find(
      (one) =>
        one.number === number &&
        (kind === 'any' ||
          (kind === 'pull') === (one.pull !== undefined) ||
          (kind === 'issue' && !this.#countsApart)),
    )
  }

  addIssue(
    repository: Repository,
    fields: { title: string; body?: string; by: string; labels?: string[] },
  ): Ticket {
    const ticket = this.#newTicket(repository, { ...fields, body: fields.body ?? '' }, undefined)
    for (const label of fields.labels ?? []) this.label(repository, ticket, label, fields.by)
    this.onEvent(repository, 'issues', { action: 'opened', issue: ticket.number })
    return ticket
  }

  addPull(
    repository: Repository,
    fields: { title: string; body: string; by: string; head: string; base: string; isDraft: boolean },
  ): Ticket {
    const { head, base, isDraft } = fields
    const ticket = this.#newTicket(repository, fields, { head, base, isDraft, reviewers: [], reviews: [] })
    this.onEvent(repository, 'pull_request', { action: 'opened', number: ticket.number })
    return ticket
  }

  #newTicket(
    repository: Repository,
    { title, body, by }: { title: string; body: string; by: string },
    pull: Ticket['pull'],
  ): Ticket {
    const alike = repository.tickets.filter(
      (one) => !this.#countsApart || (one.pull !== undefined) === (pull !== undefined),
    )
    const atMs = this.moment()
    const ticket: Ticket = {
      number: Math.max(0, ...alike.map(({ number }) => number)) + 1,
      title,
      body,
      by,
      isOpen: true,
      labels: [],
      notes: [],
      happenings: [],
      createdMs: atMs,
      updatedMs: atMs,
      pull,
    }
    this.user(by)
    repository.tickets.push(ticket)
    this.save()
    return ticket
  }

  label(repository: Repository, ticket: Ticket, name: string, by: string, isOn = true): void {
    if (ticket.labels.includes(name) === isOn) return
    if (!repository.labels.some((one) => one.name === name)) repository.labels.push({ id: this.id(), name })
    const atMs = this.moment()
    this.user(by)
    ticket.labels = isOn ? [...ticket.labels, name] : ticket.labels.filter((one) => one !== name)
    ticket.happenings.push({ kind: isOn ? 'labeled' : 'unlabeled', by, atMs, label: name })
    ticket.updatedMs = atMs
    this.save()
    const kind = ticket.pull === undefined ? 'issues' : 'pull_request'
    this.onEvent(repository, kind, {
      action: isOn ? 'labeled' : 'unlabeled',
      number: ticket.number,
      label: name,
    })
  }

  edit(ticket: Ticket, change: { title?: string; body?: string; isOpen?: boolean }, by: string): void {
    const atMs = this.moment()
    if (change.title !== undefined && change.title !== ticket.title)
      ticket.happenings.push({ kind: 'renamed', by, atMs, oldTitle: ticket.title, newTitle: change.title })
    if (change.body !== undefined && change.body !== ticket.body) {
      ticket.happenings.push({ kind: 'described', by, atMs })
      ticket.editedMs = atMs
    }
    ticket.title = change.title ?? ticket.title
    ticket.body = change.body ?? ticket.body
    ticket.isOpen = change.isOpen ?? ticket.isOpen
    ticket.updatedMs = atMs
    this.save()
  }

  comment(repository: Repository, ticket: Ticket, by: string, body: string, place: Partial<Note> = {}): Note {
    const atMs = this.moment()
    this.user(by)
    const note: Note = { id: this.id(), by, body, createdMs: atMs, updatedMs: atMs, ...place }
    ticket.notes.push(note)
    ticket.updatedMs = atMs
    this.save()
    this.onEvent(repository, 'issue_comment', { action: 'created', number: ticket.number, comment: body })
    return note
  }

  /** Adds a review with its comments on single lines. */
  review(
    repository: Repository,
    ticket: Ticket,
    fields: {
      by: string
      state: Review['state']
      body?: string
      lines?: { path: string; line: number; body: string }[]
    },
  ): Review {
    const { by, state, body = '', lines = [] } = fields
    this.user(by)
    const sha = this.headOf(repository, ticket)!
    const review: Review = { id: this.id(), by, state, body, sha, atMs: this.moment() }
    ticket.pull!.reviews.push(review)
    for (const line of lines)
      this.comment(repository, ticket, by, line.body, {
        path: line.path,
        line: line.line,
        sha,
        reviewId: review.id,
      })
    this.save()
    this.onEvent(repository, 'pull_request_review', { action: 'submitted', number: ticket.number, state })
    return review
  }

  setCheck(
    repository: Repository,
    fields: Pick<CheckState, 'sha' | 'name' | 'state'> & Partial<CheckState>,
  ): CheckState {
    const check: CheckState = {
      description: '',
      url: '',
      isRun: false,
      allowFailure: false,
      ...fields,
      id: this.id(),
    }
    repository.checks.push(check)
    this.save()
    this.onEvent(repository, check.isRun ? 'check_run' : 'status', {
      sha: check.sha,
      name: check.name,
      state: check.state,
    })
    return check
  }

  headOf({ path }: Repository, { isOpen, pull }: Ticket): string | undefined {
    return isOpen
      ? this.shaOf(path, `refs/heads/${pull!.head}`)
      : (pull!.lastSha ?? this.shaOf(path, `refs/heads/${pull!.head}`))
  }

  /** Asks git whether a pull request can be merged. Returns undefined if a branch is gone. */
  isMergeable({ path }: Repository, { pull }: Ticket): boolean | undefined {
    const [base, head] = [pull!.base, pull!.head].map((name) => this.shaOf(path, `refs/heads/${name}`))
    if (base === undefined || head === undefined) return undefined
    let known = this.#mergeable.get(`${base} ${head}`)
    if (known === undefined) {
      try {
        this.git(path, ['merge-tree', '--write-tree', base, head])
        known = true
      } catch {
        known = false
      }
      this.#mergeable.set(`${base} ${head}`, known)
    }
    return known
  }

  /** Merges as the button does: with a merge commit on the base. */
  merge(repository: Repository, ticket: Ticket): string {
    const { path } = repository
    const pull = ticket.pull!
    const [base, head] = [pull.base, pull.head].map((name) => this.shaOf(path, `refs/heads/${name}`)!) as [
      string,
      string,
    ]
    const [tree] = this.git(path, ['merge-tree', '--write-tree', base, head]).split('\n')
    const sha = this.git(path, [
      'commit-tree',
      tree!,
      '-p',
      base,
      '-p',
      head,
      '-m',
      `Merge #${ticket.number}`,
    ])
    this.git(path, ['update-ref', `refs/heads/${pull.base}`, sha, base])
    pull.mergeSha = sha
    this.#end(ticket, head)
    this.onEvent(repository, 'pull_request', { action: 'closed', number: ticket.number, merged: true })
    return sha
  }

  close(repository: Repository, ticket: Ticket): void {
    this.#end(ticket, ticket.pull === undefined ? undefined : this.headOf(repository, ticket))
    const kind = ticket.pull === undefined ? 'issues' : 'pull_request'
    this.onEvent(repository, kind, { action: 'closed', number: ticket.number, merged: false })
  }

  #end(ticket: Ticket, sha: string | undefined): void {
    if (ticket.pull !== undefined) ticket.pull.lastSha = sha
    ticket.isOpen = false
    ticket.updatedMs = this.moment()
    this.save()
  }
}

const repositoryConfig = `[http]
  receivepack = true
[uploadpack]
  allowAnySHA1InWant = true
[gc]
  auto = 0
`

/** Refuses pushes to protected branches in the words of GitHub's hook. */
const preReceive = `#!/bin/sh
while read -r old new ref; do
  if grep -qxF "$ref" protected; then
    echo "error: GH006: Protected branch update failed for $ref." >&2
    exit 1
  fi
done
`
