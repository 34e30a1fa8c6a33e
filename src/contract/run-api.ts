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
  path: z.string().describe('Where in the value, such as `steps[0].args.cmd`'),
  confidential: z.literal(true).optional().describe('Its line holds a credential, and is not to be shown'),
})

export const RunCreated = RunSummary.extend({
  warnings: z.array(Problem).optional().describe('What the check of its workflow warns of'),
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
    .describe('The same as the text of a file, without defaults; of kind `workflow`'),
  given: z
    .record(z.string(), z.string())
    .optional()
    .describe('Beside `yaml`: those of `vars` that are not what the file itself says, credentials left out'),
  left_out: z
    .array(z.string())
    .optional()
    .describe('Beside `yaml`: variables of `env` that stand there empty, and inputs, that are credentials'),
  repository: z.string().optional().describe('The repository that it was for'),
})
export type RunWorkflow = z.infer<typeof RunWorkflow>

export const CancelRun = z.strictObject({
  message: z.string().max(2000).optional(),
  force: z.boolean().default(false).describe('Also ends `finally` steps at once'),
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
  step: z.string().optional().describe('The step that runs, or the one that failed'),
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
    code: z.string().describe('Stable; may be scripted against'),
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
    .describe('Of each stream of an attempt only so many bytes come as text; default: all'),
  attempt: z.coerce.number().int().min(1).optional().describe('For JSON only: events of this attempt'),
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
        message: `"${wrong.slice(0, 100)}" is no topic: runs, tasks, runners, or run:ID@SEQ`,
      })
      return z.NEVER
    })
    .describe(
      'Separated by commas. `runs`, `tasks`: each that the caller may see, as it changes; `runners`: their list, at once and after each change; `run:ID` or `run:ID@SEQ`: the events of one, after that seq',
    ),
  after: z
    .string()
    .max(100)
    .optional()
    .describe(
      'The `id` of the last message that was read; default: what changed in the last 10 s comes first',
    ),
  access_token: z.string().optional(),
})
const TopicName = z.string().regex(TOPIC, 'a topic is runs, tasks, runners, or run:ID@SEQ')
/** `POST /api/events/:id`: what an open stream reports from now on. A topic that it already has begins again. */
export const ChangeTopics = z.strictObject({
  add: z.array(TopicName).max(64).default([]),
  drop: z.array(TopicName).max(64).default([]),
})
export const StreamTopics = z.object({
  topics: z.array(z.string()).describe('All that the stream has now, without seqs'),
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
  to: lineNumber.optional().describe('The last one, at most `limit` after `from`'),
  tail: z.coerce
    .number()
    .int()
    .min(0)
    .optional()
    .describe('The last so many lines, none before `from`, in place of `to`'),
  limit: lineNumber.max(MAX_LINES).default(1000).describe('At most so many; no more than 8 MiB / `cut`'),
  cut: z.coerce
    .number()
    .int()
    .min(16)
    .max(1024 * 1024)
    .default(4096)
    .describe('Of a longer line only so many bytes come as text'),
})
export type LinesQuery = Partial<z.infer<typeof LinesQuery>>
const Line = z.object({
  number: z.number(),
  stream: StreamName,
  time: time.describe('When the hub was told of it, to half a second'),
  text: z
    .string()
    .describe('Without its line break, with all control codes; bytes that are no UTF-8 are U+FFFD'),
  length: z.number().optional().describe('Bytes of the whole line, where the text is cut'),
  left_out: z
    .number()
    .optional()
    .describe('Bytes before the text, of a long line that carriage returns draw anew: its last states come'),
  open: z.boolean().optional().describe('Its line break has not come'),
  unordered: z
    .boolean()
    .optional()
    .describe(
      'Where it belongs among the lines of the other stream is not known; all others stand within 64 KB of their place',
    ),
})
export type Line = z.infer<typeof Line>
export const Lines = z.object({
  lines: z.array(Line),
  total: z.number().describe('So many lines there are now'),
  ended: z.boolean().describe('The attempt has ended: no more come'),
  behind: z
    .object({ done_bytes: z.number(), of_bytes: z.number() })
    .optional()
    .describe('So much is counted yet of a long log: ask again'),
  bytes: z.number().describe('Of both streams, as far as they are counted'),
  missing_bytes: z.number().optional().describe('So much of it the hub no longer has'),
  last_stderr: z
    .object({ from: z.number(), to: z.number() })
    .optional()
    .describe('The last lines on stderr that follow each other'),
  open: z.array(Line).describe('The last line of each stream, of which more may come'),
})
export type Lines = z.infer<typeof Lines>

export const StretchesQuery = z.object({
  stream: StreamName,
  from: lineNumber.default(1).describe('The first line that counts'),
  limit: lineNumber.max(MAX_LINES).default(1000),
})
export type StretchesQuery = z.input<typeof StretchesQuery>
export const Stretches = z.object({
  stretches: z
    .array(z.tuple([z.number(), z.number()]))
    .describe(
      'The first and the last of lines of this stream that follow each other; the last stretch may grow',
    ),
  next: z.number().optional().describe('As `from` it goes on; absent: these are all that there are now'),
  total: z.number().describe('So many lines there are now, of both streams'),
  behind: Lines.shape.behind,
})
export type Stretches = z.infer<typeof Stretches>

export const SearchLinesQuery = z.object({
  q: z.string().min(1).max(1000).describe('A text, found whatever its case, without control codes'),
  re: z.stringbool().default(false).describe('`q` is a regular expression, of JavaScript'),
  case: z.stringbool().default(false).describe('Capital and small letters differ'),
  cursor: lineNumber.optional().describe('The line to begin at: `next` of the answer before'),
  direction: z.enum(['forward', 'backward']).default('forward'),
  limit: lineNumber.max(MAX_LINES).default(1000),
})
export type SearchLinesQuery = { q: string } & Partial<z.infer<typeof SearchLinesQuery>>
export const FoundLines = z.object({
  hits: z.array(
    Line.pick({ number: true, stream: true, time: true, text: true }).extend({
      text: z.string().describe('Without control codes; at most 1,000 characters'),
      text_from: z.number().optional().describe('Where the text begins in the line; default: at 0'),
      ranges: z
        .array(z.tuple([z.number(), z.number()]))
        .describe('Where the first 20 matches begin and end in the line, in UTF-16 units'),
    }),
  ),
  next: z.number().optional().describe('As `cursor` it goes on; absent: all is searched'),
  total: z.number().describe('So many lines there are'),
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
      'Set after a start while open runs are taken up again: how many of them are. Runners are welcomed when all are',
    ),
})
export type Health = z.infer<typeof Health>

/** `POST /api/validate`. */

export const ValidateRequest = z.strictObject({
  yaml: z.string().max(4 * 1024 * 1024),
  vars: z.record(z.string(), Scalar).optional().describe('Values that a run would be given, to be checked'),
})

export type Problem = z.infer<typeof Problem>
export const ValidateAnswer = z.object({
  valid: z.boolean().describe('The text has no mistake; what `vars` has does not count'),
  problems: z.array(Problem),
  workflow: z
    .object({
      name: z.string(),
      steps: z.number().int().describe('Those of `finally` too'),
      hosts: z.number().int(),
      inputs: z.array(
        z.object({
          ...Input.shape,
          name: z.string(),
          secret: z.boolean().describe("Its name is a credential's"),
        }),
      ),
    })
    .optional()
    .describe('Set where the text is valid'),
  vars: z
    .array(z.object({ name: z.string(), message: z.string(), hint: z.string().optional() }))
    .optional()
    .describe('What is wrong with `vars`, one for each name: missing, unfit, or no input'),
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
