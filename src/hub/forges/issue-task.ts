import { hash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type * as z from 'zod'
import { ErrandError } from '../../contract/errors.ts'
import { Task } from '../../contract/tasks/task.ts'
import { type IssueAddress, issueAddress } from '../../forge/address.ts'
import type { CallOptions, Comment, Forge, Issue, Labelling } from '../../forge/forge.ts'
import { cutAtLines, visible } from '../../forge/marks.ts'

/** An issue of a forge, from which a task is made. */
export interface IssueText {
  address: IssueAddress
  issue: Issue
  /** Comments, oldest first. */
  comments: readonly Comment[]
  /** Set if a label made it a task: the text is then taken from the time of the labelling. */
  labelling?: Labelling
}

/** Task fields that an issue does not give, such as the agent. */
export type IssueTaskDefaults = Omit<Partial<z.input<typeof Task>>, 'title' | 'issue' | 'repo_url'>

/** Limits the bytes of an issue's text, and of its comments. */
const MOST_BODY_BYTES = 128 * 1024
const MOST_TALK_BYTES = 32 * 1024
const MOST_TITLE = 256
const MOST_CRITERIA = 200
const MOST_CRITERION = 16_384
const MOST_NAME = 128

/**
 * Returns the name of the one task of an issue. It is unique in its tenant and has no "/", which would separate a
 * spec from an id.
 */
export function issueTaskName({ host, path, number }: IssueAddress): { spec_name: string; task_id: string } {
  const whole = `${host}:${path.replaceAll('/', ':')}`.toLowerCase()
  const spec_name =
    whole.length <= MOST_NAME ? whole : `${whole.slice(0, 100)}:${hash('sha256', whole).slice(0, 20)}`
  return { spec_name, task_id: String(number) }
}

/** Reads an issue for somebody who asks for it now. Throws as `Forge` does. */
export async function readIssue(
  forge: Pick<Forge, 'issue' | 'comments'>,
  address: IssueAddress,
  options: CallOptions = {},
): Promise<IssueText> {
  const issue = await forge.issue(address.number, options)
  const comments = await forge.comments({ kind: 'issue', number: address.number }, options)
  return { address, issue, comments }
}

/**
 * Returns the task that an issue asks for. Its text, criteria and comments come from strangers and are marked as such
 * for agents. Throws `task_invalid` if it cannot be a task, or if its text has changed since it was labelled.
 */
export function taskOfIssue(
  { address, issue, comments, labelling }: IssueText,
  defaults: IssueTaskDefaults = {},
): Task {
  const { host, path, protocol, number } = address
  const { title, body } = labelling ?? issue
  if (title === undefined || body === undefined)
    throw new ErrandError('task_invalid', `Issue ${number} of ${path} was changed after it was labelled.`, {
      hint: 'Remove the label and add it again. Errand then uses the current text.',
    })
  const { criteria, rest } = withoutCriteria(visible(body))
  const talk = talkOf(comments, labelling?.at)
  const parsed = Task.safeParse({
    ...defaults,
    ...issueTaskName(address),
    title: [...visible(title).replace(/\s+/g, ' ').trim()].slice(0, MOST_TITLE).join('').slice(0, MOST_TITLE),
    description: [cutAtLines(rest.trim(), MOST_BODY_BYTES), talk].filter((part) => part !== '').join('\n\n'),
    acceptance_criteria: [...(defaults.acceptance_criteria ?? []), ...criteria].slice(0, MOST_CRITERIA),
    issue: webUrlOf(address, issue),
    repo_url: `${protocol}://${host}/${path}.git`,
    metadata: {
      ...defaults.metadata,
      labels: issue.labels,
      issue_number: number,
      issue_author: issue.author.login,
    },
  })
  if (parsed.success) return parsed.data
  const [fault] = parsed.error.issues
  throw new ErrandError(
    'task_invalid',
    `Issue ${number} of ${path} cannot become a task: ${fault!.path.join('.')}: ${fault!.message}.`,
    { hint: 'Change the issue, and try again.' },
  )
}

/**
 * Returns the forge's own address of the issue if it names the same issue. A forge must not make Errand link to
 * anywhere else.
 */
function webUrlOf(address: IssueAddress, { webUrl }: Pick<Issue, 'webUrl'>): string {
  const issue = issueAddress(webUrl)
  const isSame = issue !== undefined && isDeepStrictEqual(issueTaskName(issue), issueTaskName(address))
  if (isSame) return webUrl
  const { protocol, host, path, number, kind } = address
  return `${protocol}://${host}/${path}${kind === 'gitlab' ? '/-' : ''}/issues/${number}`
}

/**
 * Returns the comments of people below an issue, without those written or changed after `until`. Comments of programs
 * and of Errand are left out.
 */
function talkOf(comments: readonly Comment[], until: string | undefined): string {
  const limit = until === undefined ? Number.POSITIVE_INFINITY : Date.parse(until)
  const texts = comments.flatMap(({ author, body, createdAt, updatedAt }) => {
    const isLate = !(Date.parse(createdAt) <= limit && Date.parse(updatedAt) <= limit)
    const text = visible(body).trim()
    if (isLate || author.isBot || body.includes('<!-- errand:') || text === '') return []
    return [`${author.login}, ${createdAt}:\n${text.replace(/^/gm, '> ')}`]
  })
  return texts.length === 0 ? '' : cutAtLines(`Comments:\n\n${texts.join('\n\n')}`, MOST_TALK_BYTES)
}

const HEADING = /^\s{0,3}(?:#{1,6}\s+(.+?)[\s#]*|\*\*(.+?)\*\*:?|__(.+?)__:?|([^\s>*+-].{0,60}?):)\s*$/
const CRITERIA = /^(?:acceptance[ -]criteria|definition of done|done when)\s*:?$/i
const ITEM = /^(\s{0,8})(?:[-*+]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?(.*)$/
const FENCE = /^ {0,3}(`{3,}|~{3,})/

/** Returns the items of the list below a heading "Acceptance criteria", and the text without that part. */
export function withoutCriteria(text: string): { criteria: string[]; rest: string } {
  const criteria: string[] = []
  const rest: string[] = []
  let fence: string | undefined
  let isWithin = false
  for (const line of text.split('\n')) {
    const [, mark] = FENCE.exec(line) ?? []
    if (fence !== undefined) {
      if (mark?.startsWith(fence) && line.trim() === mark) fence = undefined
      rest.push(line)
      continue
    }
    if (mark !== undefined) {
      fence = mark
      isWithin = false
      rest.push(line)
      continue
    }
    const item = isWithin ? ITEM.exec(line) : null
    const heading = item === null ? HEADING.exec(line) : null
    if (heading !== null) {
      const name = heading.slice(1).find((part) => part !== undefined)!
      isWithin = CRITERIA.test(name.trim())
      if (!isWithin) rest.push(line)
    } else if (!isWithin) rest.push(line)
    else if (item !== null) criteria.push(item[2]!.trim())
    else if (line.trim() !== '') {
      // An indented line continues the item above it; any other line ends the list.
      if (/^\s/.test(line) && criteria.length > 0) criteria.push(`${criteria.pop()} ${line.trim()}`)
      else {
        isWithin = false
        rest.push(line)
      }
    }
  }
  const filled = criteria.map((one) => one.slice(0, MOST_CRITERION)).filter((one) => one !== '')
  return { criteria: filled, rest: rest.join('\n') }
}
