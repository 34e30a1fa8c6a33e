import * as z from 'zod'
import { StreamName } from './attempt.ts'
import { RunEvent } from './events.ts'
import { RunId } from './ids.ts'
import { type ListRuns, RunSummary } from './run.ts'
import { RunStatus } from './status.ts'
import { Artifact } from './tasks/artifact.ts'
import { Input, Scalar } from './workflow.ts'

/** Requests and answers of `/api/runs` that are not in `run.ts`. */

const time = z.string().describe('RFC 3339, UTC')

/** A problem that a workflow file has, or may have. */
export const Problem = z.object({
  severity: z.enum(['error', 'warning']),
  message: z.string(),
  hint: z.string().optional(),
  file: z.string().optional(),
  line: z.number().int().optional().describe('Counted from 1'),
  column: z.number().int().optional().describe('Counted from 1'),
  path: z.string().describe('Path in the value, such as `steps[0].args.cmd`'),
  confidential: z.literal(true).optional().describe('Its line contains a credential and must not be shown'),
})

export const RunCreated = RunSummary.extend({
  warnings: z.array(Problem).optional().describe('Warnings from the check of its workflow'),
})
export type RunCreated = z.infer<typeof RunCreated>
export const RunList = z.object({ runs: z.array(RunSummary), next_cursor: z.string().optional() })
export type RunList = z.infer<typeof RunList>
export type ListRunsInput = z.input<typeof ListRuns>

/** The workflow and variables that a run was made from. */
export const RunWorkflow = z.object({
  run_id: z.string(),
  workflow_name: z.string(),
  workflow: z.unknown().describe('The validated workflow, with every default filled in'),
  vars: z.record(z.string(), z.string()),
  yaml: z
    .string()
    .optional()
    .describe('The same as the text of a file, without defaults; only for the kind `workflow`'),
  given: z
    .record(z.string(), z.string())
    .optional()
    .describe('With `yaml`: the values in `vars` that differ from the file, without credentials'),
  left_out: z
    .array(z.string())
    .optional()
    .describe('With `yaml`: inputs, and variables that are empty in `env`, that are credentials'),
  repository: z.string().optional().describe('Repository that the run was for'),
})
export type RunWorkflow = z.infer<typeof RunWorkflow>

export const CancelRun = z.strictObject({
  message: z.string().max(2000).optional(),
  force: z.boolean().default(false).describe('Also end `finally` steps immediately'),
})
export type CancelRunInput = z.input<typeof CancelRun>
export const AnswerApproval = z.strictObject({
  step: z.string().min(1),
  comment: z.string().max(2000).optional(),
})
export type AnswerApproval = z.infer<typeof AnswerApproval>
export const ApprovalList = z.object({ runs: z.array(RunSummary) })
export const Accepted = z.object({ run_id: z.string(), status: RunStatus })
export type Accepted = z.infer<typeof Accepted>

/** The runs that `DELETE /api/runs/:id` removed: the named one, and those that it had started. */
export const RunsDeleted = z.object({ deleted: z.array(z.string()) })
export type RunsDeleted = z.infer<typeof RunsDeleted>

/** `GET /run-status`, as the workflow runner answers it. */
export const RunStatusView = z.object({
  run_id: z.string(),
  workflow_name: z.string(),
  status: RunStatus,
  step: z.string().optional().describe('The step that runs or that failed'),
  host: z.string().optional(),
  error: z.string().optional(),
  started_at: time.optional(),
  finished_at: time.optional(),
  last_notify_error: z.string().optional(),
})
export type RunStatusView = z.infer<typeof RunStatusView>

/** The answer to every refused or failed request, as `ErrandError.toBody` makes it. */

export const ErrorAnswer = z.object({
  error: z.object({
    code: z.string().describe('Stable; scripts can rely on it'),
    message: z.string(),
    hint: z.string().optional(),
    details: z.unknown().optional(),
  }),
})

/** The ways to read a run's log and output. */

export const EventsQuery = z.object({
  after: z.coerce.number().int().min(0).optional().describe('Only events with a greater `seq`'),
  limit: z.coerce.number().int().min(1).max(10_000).default(1000).describe('For JSON only'),
  output_bytes: z.coerce
    .number()
    .int()
    .min(0)
    .optional()
    .describe('How many bytes of each stream of an attempt are returned as text; default: all'),
  attempt: z.coerce.number().int().min(1).optional().describe('For JSON only: only events of this attempt'),
  access_token: z.string().optional(),
})
const TOPIC = /^(?:runs|tasks|runners|run:[A-Za-z0-9][A-Za-z0-9_-]{0,99}(?:@\d{1,15})?)$/
/** `GET /api/events` */
export const HubEventsQuery = z.object({
  topics: z
    .string()
    .max(16_384)
    .default('runs')
    .transform((text, context) => {
      const topics = text.split(',')
      const wrong = topics.find((each) => !TOPIC.test(each))
      if (wrong === undefined) return [...new Set(topics)]
      context.addIssue({
        code: 'custom',
        message: `"${wrong.slice(0, 100)}" is not a topic: use runs, tasks, runners or run:ID@SEQ`,
      })
      return z.NEVER
    })
    .describe(
      'Separated by commas. `runs`, `tasks`: every run or task that the caller may see, when it changes; `runners`: the list of runners, immediately and after each change; `run:ID` or `run:ID@SEQ`: the events of one run, after that seq',
    ),
  after: z
    .string()
    .max(100)
    .optional()
    .describe('The `id` of the last message that you read; default: changes of the last 10 s come first'),
  access_token: z.string().optional(),
})
const TopicName = z.string().regex(TOPIC, 'a topic must be runs, tasks, runners or run:ID@SEQ')
/** `POST /api/events/:id`: what an open stream reports from now on. A topic that it already has begins again. */
export const ChangeTopics = z.strictObject({
  add: z.array(TopicName).max(64).default([]),
  drop: z.array(TopicName).max(64).default([]),
})
export const StreamTopics = z.object({
  topics: z.array(z.string()).describe('All topics that the stream has now, without seqs'),
})
/** `run.event` of a stream: an event of a topic's run; an output event has no text. */
export const TopicEvent = z.object({ run_id: z.string(), event: RunEvent })
export type TopicEvent = z.infer<typeof TopicEvent>
/**
 * `topic` of a stream: the topic was added, has ended with its run, is refused, or starts again: from the first event,
 * or with lists to be read again.
 */
export const TopicNews = z.object({
  topic: z.string(),
  state: z.enum(['begun', 'end', 'refused', 'reset']),
  error: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }).optional(),
})
export type TopicNews = z.infer<typeof TopicNews>
/** `start` of a stream. */
export const StreamStart = z.object({ stream: z.string(), version: z.string(), now: z.string() })
export type StreamStart = z.infer<typeof StreamStart>
export const EventList = z.array(RunEvent)

export const OutputPath = z.object({ id: RunId, number: z.coerce.number().int().min(1), stream: StreamName })

/**
 * Most lines of an attempt in one answer. Lines are numbered in the order in which both streams came, by their first
 * bytes.
 */

export const MAX_LINES = 5_000
export const MAX_LINES_BYTES = 8 * 1024 * 1024
export const AttemptPath = OutputPath.omit({ stream: true })
const lineNumber = z.coerce.number().int().min(1)
export const LinesQuery = z.object({
  from: lineNumber.optional().describe('The first line, from 1; default: 1'),
  to: lineNumber.optional().describe('The last line, at most `limit` after `from`'),
  tail: z.coerce
    .number()
    .int()
    .min(0)
    .optional()
    .describe('How many of the last lines to return, none before `from`; instead of `to`'),
  limit: lineNumber.max(MAX_LINES).default(1000).describe('Most lines to return; at most 8 MiB / `cut`'),
  cut: z.coerce
    .number()
    .int()
    .min(16)
    .max(1024 * 1024)
    .default(4096)
    .describe('How many bytes of a longer line are returned as text'),
})
export type LinesQuery = Partial<z.infer<typeof LinesQuery>>
const Line = z.object({
  number: z.number(),
  stream: StreamName,
  time: time.describe('When the hub received it, to half a second'),
  text: z
    .string()
    .describe('Without its line break, with all control codes; bytes that are not UTF-8 become U+FFFD'),
  length: z.number().optional().describe('Length of the whole line in bytes, if the text is cut'),
  left_out: z
    .number()
    .optional()
    .describe(
      'Bytes before the text, in a long line that carriage returns redraw: only its last states are returned',
    ),
  open: z.boolean().optional().describe('Its line break has not arrived yet'),
  unordered: z
    .boolean()
    .optional()
    .describe(
      'Its position among the lines of the other stream is unknown; all other lines are within 64 KB of their position',
    ),
})
export type Line = z.infer<typeof Line>
export const Lines = z.object({
  lines: z.array(Line),
  total: z.number().describe('Number of lines now'),
  ended: z.boolean().describe('The attempt has ended: no more lines follow'),
  behind: z
    .object({ done_bytes: z.number(), of_bytes: z.number() })
    .optional()
    .describe('How much of a long log has been counted so far: ask again'),
  bytes: z.number().describe('Size of both streams, as far as they have been counted'),
  missing_bytes: z.number().optional().describe('How many of these bytes the hub no longer has'),
  last_stderr: z
    .object({ from: z.number(), to: z.number() })
    .optional()
    .describe('The last consecutive lines on stderr'),
  open: z.array(Line).describe('The last line of each stream, which may still grow'),
})
export type Lines = z.infer<typeof Lines>

export const StretchesQuery = z.object({
  stream: StreamName,
  from: lineNumber.default(1).describe('The first line to consider'),
  limit: lineNumber.max(MAX_LINES).default(1000),
})
export type StretchesQuery = z.input<typeof StretchesQuery>
export const Stretches = z.object({
  stretches: z
    .array(z.tuple([z.number(), z.number()]))
    .describe('First and last number of consecutive lines of this stream; the last stretch may grow'),
  next: z.number().optional().describe('Value of `from` for the next page; absent if this is all for now'),
  total: z.number().describe('Number of lines of both streams now'),
  behind: Lines.shape.behind,
})
export type Stretches = z.infer<typeof Stretches>

export const SearchLinesQuery = z.object({
  q: z.string().min(1).max(1000).describe('Text to search for, in any case, ignoring control codes'),
  re: z.stringbool().default(false).describe('`q` is a JavaScript regular expression'),
  case: z.stringbool().default(false).describe('Distinguish uppercase and lowercase letters'),
  cursor: lineNumber.optional().describe('The line to begin at: `next` of the previous answer'),
  direction: z.enum(['forward', 'backward']).default('forward'),
  limit: lineNumber.max(MAX_LINES).default(1000),
})
export type SearchLinesQuery = { q: string } & Partial<z.infer<typeof SearchLinesQuery>>
export const FoundLines = z.object({
  hits: z.array(
    Line.pick({ number: true, stream: true, time: true, text: true }).extend({
      text: z.string().describe('Without control codes; at most 1,000 characters'),
      text_from: z.number().optional().describe('Where the text begins in the line; default: 0'),
      ranges: z
        .array(z.tuple([z.number(), z.number()]))
        .describe('Where the first 20 matches begin and end in the line, in UTF-16 units'),
    }),
  ),
  next: z
    .number()
    .optional()
    .describe('Value of `cursor` for the next page; absent if everything was searched'),
  total: z.number().describe('Number of lines'),
})
export type FoundLines = z.infer<typeof FoundLines>

/** `GET /health`. */

export const Health = z.object({
  status: z.literal('ok'),
  ok: z.literal(true),
  version: z.string(),
  uptime_seconds: z.number(),
  taking_up: z
    .object({ done: z.number(), of: z.number() })
    .optional()
    .describe(
      'Set after a start while the hub resumes open runs: how many it has resumed. It accepts runners once all are resumed',
    ),
})
export type Health = z.infer<typeof Health>

/** `POST /api/validate`. */

export const ValidateRequest = z.strictObject({
  yaml: z.string().max(4 * 1024 * 1024),
  vars: z.record(z.string(), Scalar).optional().describe('Values for a run, to be checked'),
})

export type Problem = z.infer<typeof Problem>
export const ValidateAnswer = z.object({
  valid: z.boolean().describe('Whether the text has no mistake; `vars` does not count'),
  problems: z.array(Problem),
  workflow: z
    .object({
      name: z.string(),
      steps: z.number().int().describe('Number of steps, including those of `finally`'),
      hosts: z.number().int(),
      inputs: z.array(
        z.object({
          ...Input.shape,
          name: z.string(),
          secret: z.boolean().describe('Its name looks like the name of a credential'),
        }),
      ),
    })
    .optional()
    .describe('Set if the text is valid'),
  vars: z
    .array(z.object({ name: z.string(), message: z.string(), hint: z.string().optional() }))
    .optional()
    .describe('Problems in `vars`, one per name: missing, invalid or not an input'),
})
export type ValidateAnswer = z.infer<typeof ValidateAnswer>

/** An artifact as a list shows it, with its origin. */
export const ListedArtifact = z.object({
  ...Artifact.shape,
  step: z.string(),
  host: z.string(),
  attempt_id: z.string(),
})
export type ListedArtifact = z.infer<typeof ListedArtifact>
/** `GET /api/runs/:id/artifacts`: in the order in which each attempt stored them. */
export const ArtifactList = z.object({ run_id: z.string(), artifacts: z.array(ListedArtifact) })
export type ArtifactList = z.infer<typeof ArtifactList>
