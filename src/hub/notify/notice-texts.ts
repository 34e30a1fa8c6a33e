import type { WebhookNotice } from '../../contract/channels.ts'
import type { RunRecord } from '../../contract/run.ts'

const MOST_TITLE = 120
const MOST_TEXT = 1000

/** Puts text on one line, without characters that are invisible or change the direction of others. */
const plain = (text: string): string =>
  text
    .replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]+/gu, ' ')
    .replace(/ {2,}/g, ' ')
    .trim()

/** Does the same for several lines. */
const plainLines = (text: string): string =>
  text
    .split(/\r\n|\r|\n/)
    .map(plain)
    .join('\n')
    .trim()

/** Cuts text without leaving half a character at its end. */
const cut = (text: string, most: number): string =>
  text.length <= most ? text : `${text.slice(0, most - 1).replace(/[\ud800-\udbff]$/, '')}…`

type Of = Pick<RunRecord, 'run_id' | 'workflow_name'>
export type NoticeBody = Omit<WebhookNotice, 'id' | 'url'> & {
  /** Path below the hub's address. */
  path: string
}

const runPath = (run_id: string, step?: string, question?: string): string => {
  const query = step === undefined ? '' : `?step=${encodeURIComponent(step)}`
  const fragment = question === undefined ? '' : `#question:${encodeURIComponent(question)}`
  return `/runs/${encodeURIComponent(run_id)}${query}${fragment}`
}

/** Writes the notice of a question that a step asks; its link opens `question`. */
export function questionNotice(
  { run_id, workflow_name }: Of,
  requested: {
    step: string
    host?: string | undefined
    question: string
    text: string
    expires_at?: string
    at: string
  },
): NoticeBody {
  const { step, host, question, text, expires_at, at } = requested
  const until = expires_at === undefined ? '' : `\nAnswer by ${expires_at}.`
  return {
    kind: 'question',
    title: cut(plain(`${workflow_name}: ${step} asks`), MOST_TITLE),
    text: `${cut(plainLines(text), MOST_TEXT)}${until}`,
    run_id,
    workflow_name: cut(plain(workflow_name), MOST_TITLE),
    step: cut(plain(step), MOST_TITLE),
    path: runPath(run_id, host === undefined ? step : `${step}@${host}`, question),
    at,
  }
}

export function failureNotice(
  { run_id, workflow_name }: Of,
  ended: { status: string; step?: string; reason?: string; message?: string; at: string },
): NoticeBody {
  const { status, step, reason, message, at } = ended
  const why = [step, reason, message].filter((part) => part !== undefined && part !== '')
  return {
    kind: 'failure',
    title: cut(plain(`${workflow_name} ${status}`), MOST_TITLE),
    text: cut(plainLines(why.join(' · ')), MOST_TEXT) || `Status of the run: ${status}.`,
    run_id,
    workflow_name: cut(plain(workflow_name), MOST_TITLE),
    step: step === undefined ? undefined : cut(plain(step), MOST_TITLE),
    path: runPath(run_id, step),
    at,
  }
}

export const testNotice = (at: string): NoticeBody => ({
  kind: 'test',
  title: 'Errand: test',
  text: 'Notices about questions and failed runs will be sent here.',
  path: '/settings/me',
  at,
})
