import { isErrandError, messageOf } from '../contract/errors.ts'
import type { CallOptions, Comment, Forge, Pull, PullChange, PullInput, Talk } from './forge.ts'
import { commentMark, retitled, withBlock } from './marks.ts'

export interface EnsuredPullInput extends PullInput {
  /** Errand's part of the text. The pull request's body has it between marks, with the text of people around it. */
  body: string
  labels: readonly string[]
  /** Logins of the requested reviewers. */
  reviewers: readonly string[]
  /** Whether to request reviews again if it is already open; default false, so that reviewers can remove themselves. */
  asksAgain?: boolean
  /** Whether to reopen a closed pull request; default false. */
  reopen?: boolean
  /** Label that replaces the draft state if the forge refuses drafts; default "draft". */
  draftLabel?: string
}

export interface EnsuredPull {
  /** Result; with `closed` and `merged`, an earlier pull request existed and was left unchanged. */
  outcome: 'created' | 'updated' | 'unchanged' | 'closed' | 'merged'
  pull: Pull
  /** Sentences about parts that did not work as requested but are not a failure. */
  notices: string[]
}

/**
 * Opens the pull request of a branch, or updates the open one; a second call changes nothing. Reopens a closed one only
 * with `reopen`, and opens no other one if one with this `headSha` was merged.
 */
export async function ensurePull(
  forge: Forge,
  input: EnsuredPullInput,
  options: CallOptions & { headSha?: string } = {},
): Promise<EnsuredPull> {
  const notices: string[] = []
  const from = { head: input.head, base: input.base }
  const [there, ...older] = await newestFirst(forge, from, options)
  const [last] = [there, ...older].filter((one) => one !== undefined)
  if (last !== undefined && last.state !== 'open') {
    const isSame = options.headSha === undefined || last.headSha === options.headSha
    if (last.state === 'merged' && isSame) return { outcome: 'merged', pull: last, notices }
    if (last.state === 'closed' && !input.reopen) return { outcome: 'closed', pull: last, notices }
  }
  let pull = last
  let outcome: EnsuredPull['outcome'] = 'unchanged'
  if (pull === undefined || pull.state === 'merged') {
    const made = await create(forge, input, notices, options)
    ;({ pull, outcome } = made)
  }
  const change = changeOf(pull, input)
  if (change !== undefined) {
    pull = await forge.changePull(pull.number, change, options)
    if (outcome !== 'created') outcome = 'updated'
  }
  const talk: Talk = { kind: 'pull', number: pull.number }
  const labels = [...input.labels]
  if (input.isDraft && outcome === 'created' && !pull.isDraft) labels.push(input.draftLabel ?? 'draft')
  const missing = labels.filter((label) => !pull.labels.includes(label))
  if (missing.length > 0) {
    await noticed(notices, `its labels (${missing.join(', ')}) could not be set`, options, async () => {
      await forge.addLabels(talk, missing, options)
      if (outcome === 'unchanged') outcome = 'updated'
    })
  }
  const reviewers = input.reviewers.filter((login) => login !== pull.author.login)
  const isToAsk = outcome === 'created' || (input.asksAgain === true && pull.state === 'open')
  if (reviewers.length > 0 && isToAsk)
    await noticed(notices, `${reviewers.join(', ')} could not be asked for a review`, options, async () => {
      await forge.askReviewers(pull.number, reviewers, options)
    })
  return { outcome, pull: missing.length > 0 ? await forge.pull(pull.number, options) : pull, notices }
}

async function create(
  forge: Forge,
  input: EnsuredPullInput,
  notices: string[],
  options: CallOptions,
): Promise<{ pull: Pull; outcome: 'created' | 'unchanged' }> {
  const open = async () => {
    const found = await forge.pulls({ head: input.head, base: input.base }, options)
    return found.find(({ state }) => state === 'open')
  }
  const marked = { ...input, body: withBlock('', input.body) }
  const post = async (isDraft: boolean) =>
    await forge.once(async () => await forge.createPull({ ...marked, isDraft }, options), open, options)
  try {
    return { pull: await post(input.isDraft), outcome: 'created' }
  } catch (error) {
    const cause = causeOf(error)
    if (cause === 'draft' && input.isDraft) {
      notices.push(`${forge.host} accepts no drafts here, so the pull request is open for review.`)
      return { pull: await post(false), outcome: 'created' }
    }
    if (cause !== 'exists') throw error
    // Another caller was faster. The forge also says so about one with another base; then rethrow its error.
    const found = await open()
    if (found === undefined) throw error
    return { pull: found, outcome: 'unchanged' }
  }
}

const causeOf = (error: unknown): unknown =>
  isErrandError(error) && error.code === 'pull_request'
    ? (error.details as { cause?: string })?.cause
    : undefined

/** Returns the open pull request first, since a newer one of the same branch may be closed. */
async function newestFirst(
  forge: Forge,
  from: { head: string; base: string },
  options: CallOptions,
): Promise<Pull[]> {
  const all = await forge.pulls(from, options)
  return [...all.filter(({ state }) => state === 'open'), ...all.filter(({ state }) => state !== 'open')]
}

function changeOf(pull: Pull, input: EnsuredPullInput): PullChange | undefined {
  const title = retitled(pull.title, input.title.trim())
  const body = withBlock(pull.body, input.body)
  const change: PullChange = {
    ...(title === pull.title ? {} : { title }),
    ...(sameText(body, pull.body) ? {} : { body }),
    ...(pull.state === 'closed' ? { state: 'open' } : {}),
  }
  return Object.keys(change).length === 0 ? undefined : change
}

/** Compares two texts without line endings and trailing white space, which forges change. */
const sameText = (a: string, b: string): boolean => plain(a) === plain(b)
const plain = (text: string): string => text.replace(/\r\n/g, '\n').trimEnd()

async function noticed(notices: string[], what: string, { signal }: CallOptions, doIt: () => Promise<void>) {
  try {
    await doIt()
  } catch (error) {
    signal?.throwIfAborted()
    notices.push(`The pull request exists, but ${what}: ${messageOf(error)}`)
  }
}

/**
 * Creates or edits Errand's one comment with this key, so that it says `body`. Ignores other people's comments with the
 * same key. `since` (RFC 3339) is a time before the comment was written; with it, the comment is found in a
 * conversation of any length.
 */
export async function ensureComment(
  forge: Forge,
  talk: Talk,
  comment: { key: string; body: string; since?: string },
  options: CallOptions = {},
): Promise<Comment> {
  const mark = commentMark(comment.key)
  const body = `${comment.body.trim()}\n\n${mark}`
  const self = await forge.self(options)
  const find = async () => {
    const all = await forge.comments(talk, { ...options, since: comment.since })
    // A token that may not query its owner belongs to a program.
    const isOurs = ({ author }: Comment) => (self === undefined ? author.isBot : author.login === self.login)
    return all.find((one) => one.body.includes(mark) && isOurs(one))
  }
  const there = await find()
  if (there === undefined)
    return await forge.once(async () => await forge.addComment(talk, body, options), find, options)
  return sameText(there.body, body) ? there : await forge.editComment(talk, there.id, body, options)
}
