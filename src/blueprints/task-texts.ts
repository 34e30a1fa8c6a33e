import { ErrandError } from '../contract/errors.ts'
import type { Task } from '../contract/tasks/task.ts'
import { cutAtLines, harmless, harmlessLine, withFencesClosed } from '../forge/marks.ts'
import { pullRequestTitle } from '../forge/pull-request-body.ts'
import { withoutHidden } from './task-prompt.ts'
import { plain } from './workflow.ts'

/** Longest title part in a branch name, in characters. */

const MAX_SLUG = 40
/** Most characters of the description, and of the criteria: a body has at most 60 KiB. */
const MAX_PART = 16 * 1024
const MAX_SUBJECT = 72

/**
 * Returns the branch of a task that names none: `errand/<spec>-<id>-<title>`. Throws `invalid_argument` for a name that
 * Git would refuse.
 */
export function branchOf(
  { branch_name, spec_name, title }: Pick<Task, 'branch_name' | 'spec_name' | 'title'>,
  ownId: string,
): string {
  const branch = branch_name?.trim()
  if (branch !== undefined) {
    const fault = branchFault(branch)
    if (fault === undefined) return branch
    throw new ErrandError(
      'invalid_argument',
      `branch_name ${JSON.stringify(branch)} is not a valid branch name: ${fault}.`,
      {
        hint: 'Use a name such as feature/login-page.',
      },
    )
  }
  const parts = [word(spec_name, 60), word(ownId, 60), word(title, MAX_SLUG)].filter((part) => part !== '')
  return `errand/${parts.join('-')}`
}

/** Reduces a text to lower-case letters, digits and `-`; empty when it has none. */
function word(text: string, most: number): string {
  return text
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, most)
    .replace(/-+$/, '')
}

/** Returns the fault of a name by the rules of `git check-ref-format --branch`. */
function branchFault(name: string): string | undefined {
  if (/[\p{Cc} ~^:?*[\\]/u.test(name)) return 'it contains a character that is not allowed'
  if (name.startsWith('-')) return 'it begins with "-"'
  if (name === '@' || name === 'HEAD' || name.includes('@{')) return 'it has a special meaning in Git'
  if (name.includes('..')) return 'it contains ".."'
  const bad = name.split('/').some((part) => part === '' || part.startsWith('.') || part.endsWith('.lock'))
  if (bad || name.endsWith('.')) return 'a part of it is empty, begins or ends with ".", or ends with ".lock"'
  return undefined
}

const cleanLine = (text: string): string => withoutHidden(text).text.replace(/\s+/g, ' ').trim()

/** Returns the message for the commit of whatever the agent did not commit itself. */
export function commitMessage({ title, acceptance_criteria, issue }: Task): string {
  const line = cleanLine(title)
  const characters = [...line]
  const isLong = characters.length > MAX_SUBJECT
  const subject = isLong
    ? `${characters
        .slice(0, MAX_SUBJECT - 1)
        .join('')
        .trimEnd()}…`
    : line
  const parts = [subject]
  if (isLong) parts.push(line)
  if (acceptance_criteria.length > 0)
    parts.push(acceptance_criteria.map((each) => `- ${cleanLine(each)}`).join('\n'))
  if (issue !== undefined) parts.push(`Issue: ${cleanLine(issue)}`)
  return parts.join('\n\n')
}

/** Returns the title of the pull request, on one line. */
export const titleOf = (task: Task): string =>
  pullRequestTitle((typeof task.pull_request === 'object' && task.pull_request.title) || task.title)

export interface BodyFacts {
  task: Task
  /** `task_…` */
  id: string
  /** Variables of the run: a sentence on tests, and remaining findings as JSON. */
  variables: { tests: string; findings?: string }
}

/**
 * Returns Errand's part of the pull request's body, as an argument of a step: the test results are filled in with it.
 * Text by strangers mentions nobody in it, and closes nothing.
 */
export function bodyOf({ task, id, variables }: BodyFacts): string {
  const criteria = task.acceptance_criteria.map((each) => `- [ ] ${harmlessLine(each)}`).join('\n')
  const purpose = withFencesClosed(harmless(cutAtLines(task.description.trim(), MAX_PART)))
  const closes = closing(task)
  return [
    ...(closes === undefined ? [] : [fixed(closes)]),
    `Made by Errand: run \${ERRAND_RUN_ID}, task ${fixed(id)}`,
    ...section('Acceptance criteria', fixed(cutAtLines(criteria, MAX_PART))),
    ...section('Tests', `\${${variables.tests}:-Tests: none}`),
    ...section('Purpose', fixed(purpose)),
    ...(variables.findings === undefined
      ? []
      : [
          `<details><summary>Findings of the last review</summary>\n\n~~~json\n\${${variables.findings}:-[]}\n~~~\n\n</details>`,
        ]),
  ].join('\n\n')
}

const fixed = (text: string): string => plain(text) as string

const section = (title: string, text: string): string[] => (text === '' ? [] : [`### ${title}\n${text}`])

/** Closes an issue of the same repository with the merge; another one is only named. */
function closing({ issue, repo_url }: Task): string | undefined {
  if (issue === undefined) return undefined
  const { host, pathname } = new URL(issue)
  const match = /^\/(.+?)\/(?:-\/)?issues\/(\d+)\/?$/.exec(pathname)
  const [, path = '', number = ''] = match ?? []
  const repo = (repo_url ?? '').toLowerCase().replace(/\/$|\.git\/?$/, '')
  const places = [`//${host}/${path}`, `@${host}/${path}`, `@${host}:${path}`].map((each) =>
    each.toLowerCase(),
  )
  return match !== null && places.some((place) => repo.endsWith(place)) ? `Closes #${number}` : `For ${issue}`
}
