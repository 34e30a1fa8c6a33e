import { cutAtLines, harmless, harmlessLine, withFencesClosed } from './marks.ts'

export interface TestFigures {
  /** Name of the tests, such as the playbook's step. */
  suite: string
  passed: number
  failed: number
  skipped: number
}

export interface PullRequestBody {
  /** Description of the work by the agent; untrusted, like criteria, findings and notes. */
  summary: string
  criteria: readonly { text: string; met: boolean }[]
  /** Test figures; undefined if there were no tests to run. */
  tests: readonly TestFigures[] | undefined
  cost?: { usd?: number; tokens?: number; seconds?: number }
  /** Changed protected files with the decision about each ("approved by ada"). */
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
 * Returns a title of one line, at most 240 characters: forges accept 255, including a draft mark. It may become a
 * commit message.
 */
export const pullRequestTitle = (title: string): string => [...harmlessLine(title)].slice(0, 240).join('')

/** Most bytes of a whole body; forges accept at least 65,536 characters. */
export const MOST_BODY_BYTES = 60 * 1024
/** Most entries that are shown of each list. */
const MOST_LISTED = 100

/**
 * Returns Errand's part of a pull request's text, in Markdown that all forges understand, at most 60 KiB. The parts on
 * which others rely (link to the run, `Closes`) come first, so that a cut removes the agent's summary.
 */
export function pullRequestBody(facts: PullRequestBody): string {
  const { run, tests, criteria } = facts
  const id = code(run.id)
  const link = run.url === undefined ? id : `[${id}](${encodeURI(run.url).replaceAll(')', '%29')})`
  const head = [
    facts.closes === undefined ? undefined : `Closes #${facts.closes.number}`,
    facts.refersTo === undefined ? undefined : `For #${facts.refersTo.number}`,
    `Made by Errand: run ${link}${run.task === undefined ? '' : `, task ${code(run.task)}`}${costOf(facts.cost)}`,
  ]
  const parts = [
    head.filter((line) => line !== undefined).join('\n\n'),
    criteria.length === 0
      ? undefined
      : `### Acceptance criteria\n${listed(criteria, ({ text, met }) => `- [${met ? 'x' : ' '}] ${harmlessLine(text)}`)}`,
    `### Tests\n${tests === undefined ? 'There were no tests to run.' : testTable(tests)}`,
    facts.protectedFiles.length === 0
      ? undefined
      : `### Protected files\n${listed(facts.protectedFiles, ({ path, decision }) => `- ${code(path)}: ${harmlessLine(decision)}`)}`,
    facts.findings.length === 0
      ? undefined
      : `### Remaining findings\n${listed(facts.findings, ({ file, line, severity, claim }) => `- **${harmlessLine(severity)}** ${file === undefined ? '' : `${code(line === undefined ? file : `${file}:${line}`)}: `}${harmlessLine(claim)}`)}`,
    facts.notes === undefined || facts.notes.length === 0
      ? undefined
      : `### Notes\n${listed(facts.notes, (note) => `- ${harmlessLine(note)}`)}`,
    facts.summary.trim() === ''
      ? undefined
      : `### Summary\n${withFencesClosed(harmless(facts.summary.trim()))}`,
  ]
  // Leave room for the marks and for text that people write.
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

/** Returns a name as inline code, in which nothing works as a mention or a command. */
function code(text: string): string {
  const plain = harmlessLine(text.replaceAll('`', "'"))
  return `\`${plain.slice(0, 300) || ' '}\``
}
