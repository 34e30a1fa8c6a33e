import { cutAtLines, harmless, harmlessLine, withFencesClosed } from './marks.ts'

export interface TestFigures {
  /** Name such as that of the playbook's step. */
  suite: string
  passed: number
  failed: number
  skipped: number
}

export interface PullRequestBody {
  /** Description of the work by the agent. It is untrusted, like criteria, findings and notes. */
  summary: string
  criteria: readonly { text: string; met: boolean }[]
  /** Figures of the tests; undefined if there were none to run. */
  tests: readonly TestFigures[] | undefined
  cost?: { usd?: number; tokens?: number; seconds?: number }
  /** Protected files that were changed, with the decision on each ("approved by ada"). */
  protectedFiles: readonly { path: string; decision: string }[]
  findings: readonly { file?: string; line?: number; severity: string; claim: string }[]
  notes?: readonly string[]
  run: { id: string; url?: string; task?: string }
  /** Issue that the merge closes; set only if the work is complete. */
  closes?: { number: number }
  /** Issue that is mentioned but not closed. */
  refersTo?: { number: number }
}

/**
 * Returns a one-line title that all forges accept: 255 characters including a draft mark. It may become a commit's
 * message.
 */
export const pullRequestTitle = (title: string): string => [...harmlessLine(title)].slice(0, 240).join('')

/** Limits the bytes of the whole body; forges accept 65,536 characters or more. */
export const MOST_BODY_BYTES = 60 * 1024
/** Limits the entries of each list. */
const MOST_LISTED = 100

/**
 * Returns the text of a pull request between its marks, in Markdown that all forges understand, at most 60 KiB. The
 * parts that matter to others (the link to the run, `Closes`) come first, so that only the agent's text gets cut.
 */
export function pullRequestBody(given: PullRequestBody): string {
  const { run, tests, criteria } = given
  const id = code(run.id)
  const link = run.url === undefined ? id : `[${id}](${encodeURI(run.url).replaceAll(')', '%29')})`
  const head = [
    given.closes === undefined ? undefined : `Closes #${given.closes.number}`,
    given.refersTo === undefined ? undefined : `For #${given.refersTo.number}`,
    `Made by Errand: run ${link}${run.task === undefined ? '' : `, task ${code(run.task)}`}${costOf(given.cost)}`,
  ]
  const parts = [
    head.filter((line) => line !== undefined).join('\n\n'),
    criteria.length === 0
      ? undefined
      : `### Acceptance criteria\n${listed(criteria, ({ text, met }) => `- [${met ? 'x' : ' '}] ${harmlessLine(text)}`)}`,
    `### Tests\n${tests === undefined ? 'There were no tests to run.' : testTable(tests)}`,
    given.protectedFiles.length === 0
      ? undefined
      : `### Protected files\n${listed(given.protectedFiles, ({ path, decision }) => `- ${code(path)}: ${harmlessLine(decision)}`)}`,
    given.findings.length === 0
      ? undefined
      : `### Findings that are left\n${listed(given.findings, ({ file, line, severity, claim }) => `- **${harmlessLine(severity)}** ${file === undefined ? '' : `${code(line === undefined ? file : `${file}:${line}`)}: `}${harmlessLine(claim)}`)}`,
    given.notes === undefined || given.notes.length === 0
      ? undefined
      : `### Notes\n${listed(given.notes, (note) => `- ${harmlessLine(note)}`)}`,
    given.summary.trim() === ''
      ? undefined
      : `### Summary\n${withFencesClosed(harmless(given.summary.trim()))}`,
  ]
  // The marks around it, and what people write, need room too.
  return cutAtLines(parts.filter((part) => part !== undefined).join('\n\n'), MOST_BODY_BYTES - 1024)
}

function costOf(cost: PullRequestBody['cost']): string {
  const parts = [
    cost?.usd === undefined ? undefined : `$${cost.usd.toFixed(2)}`,
    cost?.tokens === undefined ? undefined : `${cost.tokens.toLocaleString('en-US')} tokens`,
    cost?.seconds === undefined ? undefined : `${Math.round(cost.seconds)} s`,
  ].filter((part) => part !== undefined)
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`
}

const testTable = (tests: readonly TestFigures[]): string =>
  [
    '| suite | passed | failed | skipped |',
    '|---|---|---|---|',
    ...tests
      .slice(0, MOST_LISTED)
      .map(
        ({ suite, passed, failed, skipped }) =>
          `| ${code(suite).replaceAll('|', '\\|')} | ${passed} | ${failed} | ${skipped} |`,
      ),
    ...(tests.length > MOST_LISTED ? [`| ${tests.length - MOST_LISTED} more | | | |`] : []),
  ].join('\n')

function listed<T>(all: readonly T[], line: (one: T) => string): string {
  const lines = all.slice(0, MOST_LISTED).map(line)
  return [...lines, ...(all.length > MOST_LISTED ? [`- … ${all.length - MOST_LISTED} more`] : [])].join('\n')
}

/** Formats a name as code in which nothing is a mention or a command. */
function code(text: string): string {
  const plain = harmlessLine(text.replaceAll('`', "'"))
  return `\`${plain.slice(0, 300) || ' '}\``
}
