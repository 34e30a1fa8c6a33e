import * as z from 'zod'
import { ChatAnswer, ChatRequest, InputAccepted, RunInput } from '../agent-api.ts'
import { RunEvent } from '../events.ts'
import { RunId } from '../ids.ts'
import { CreateRun, ListRuns, RunSummary, RunView } from '../run.ts'
import {
  Accepted,
  AnswerApproval,
  ApprovalList,
  AttemptPath,
  CancelRun,
  ChangeTopics,
  EventList,
  EventsQuery,
  FoundLines,
  HubEventsQuery,
  Lines,
  LinesQuery,
  OutputPath,
  RunCreated,
  RunList,
  RunStatusView,
  RunsDeleted,
  RunWorkflow,
  SearchLinesQuery,
  StreamTopics,
  Stretches,
  StretchesQuery,
  ValidateAnswer,
  ValidateRequest,
} from '../run-api.ts'
import { RetryPlan, RetryRun } from '../runs/retry.ts'
import { BulkDone, BulkRuns, CountRuns, RunCounts } from '../runs/run-lists.ts'
import {
  InstancePage,
  InstancesPath,
  InstancesQuery,
  LastGood,
  OverviewQuery,
  RunOutline,
  RunViewQuery,
  StepOverview,
} from '../runs/run-parts.ts'
import { ShareList, ShareRun, UnshareRun } from '../runs/shares.ts'
import {
  ChangeQuery,
  FileQuery,
  FolderQuery,
  WorkspaceChange,
  WorkspaceFile,
  WorkspaceFolder,
} from '../runs/workspace-queries.ts'
import { content, nothing, routeTable } from './route.ts'

const tag = 'runs'
const params = z.object({ id: z.string().describe('The run') })
const CreateHeaders = z.object({
  'idempotency-key': z
    .string()
    .min(1)
    .max(255)
    .optional()
    .describe('A repeat with the same key and body answers 200 and the same run'),
})
const CreateQuery = z.strictObject({
  var: z
    .union([z.string(), z.array(z.string())])
    .optional()
    .describe('`KEY=value`, any number of times; beside a body of YAML'),
  label: z
    .union([z.string(), z.array(z.string())])
    .optional()
    .describe('`NAME=value`, any number of times; as `labels` in the body'),
  run_id: z.optional(RunId).describe('As `run_id` in the body'),
  repository: CreateRun.shape.repository,
})
const EventsHeaders = z.object({
  'last-event-id': z
    .string()
    .regex(/^\d*$/, 'the seq of an event is a number')
    .optional()
    .describe('As `after`; goes before it'),
})

export const runRoutes = routeTable({
  'POST /api/runs': {
    who: 'user',
    tag,
    summary: 'Start a run: of a workflow (JSON, or application/yaml), or of an agent',
    headers: CreateHeaders,
    query: CreateQuery,
    body: CreateRun,
    answers: { 201: RunCreated, 200: RunCreated },
  },
  'GET /api/runs': {
    who: 'user',
    tag,
    summary: 'Runs, newest first: yours; for an admin, all',
    query: ListRuns,
    answers: { 200: RunList },
  },
  'GET /api/run-counts': {
    who: 'user',
    tag,
    summary: 'How many runs a filter has, by status: exactly up to 10,000 of each',
    query: CountRuns,
    answers: { 200: RunCounts },
  },
  'POST /api/runs/bulk': {
    who: 'user',
    tag,
    summary: 'Cancel, retry or delete many runs: by ids or by a filter, with what became of each',
    headers: z.object({
      'idempotency-key': z
        .string()
        .min(1)
        .max(255)
        .optional()
        .describe('A repeat with the same key and body changes nothing more'),
    }),
    body: BulkRuns,
    answers: { 200: BulkDone },
  },
  'GET /api/runs/:id': {
    who: 'user',
    tag,
    summary: 'A run with its steps',
    params,
    query: RunViewQuery,
    answers: { 200: RunView },
  },
  'GET /api/runs/:id/steps/:step/instances': {
    who: 'user',
    tag,
    summary: 'Instances of a step with their attempts, page by page: what failed first',
    params: InstancesPath,
    query: InstancesQuery,
    answers: { 200: InstancePage },
  },
  'GET /api/runs/:id/steps/:step/overview': {
    who: 'user',
    tag,
    summary: 'All instances of a step at a glance: their states in order, medians and when they ended',
    params: InstancesPath,
    query: OverviewQuery,
    answers: { 200: StepOverview },
  },
  'GET /api/runs/:id/last-good': {
    who: 'user',
    tag,
    summary: 'The last success before it of the same workflow and owner, to compare with',
    params,
    answers: { 200: LastGood },
  },
  'GET /api/runs/:id/workflow': {
    who: 'user',
    tag,
    summary: 'What the run was made of',
    params,
    answers: { 200: RunWorkflow },
  },
  'GET /api/runs/:id/outline': {
    who: 'user',
    tag,
    summary: 'The steps that the run was made of, without what they do and their lists of items',
    params,
    answers: { 200: RunOutline },
  },
  'POST /api/runs/:id/cancel': {
    who: 'user',
    tag,
    summary: 'Cancel; the end comes as an event',
    params,
    body: CancelRun.prefault({}),
    answers: { 202: Accepted },
  },
  'POST /api/runs/:id/resume': {
    who: 'user',
    tag,
    summary: 'Go on with a run that is set aside (admin)',
    params,
    body: z.strictObject({}).prefault({}),
    answers: { 200: RunSummary },
  },
  'POST /api/runs/:id/retry': {
    who: 'user',
    tag,
    summary: 'A new run of the same workflow: of all of it, what failed, from a step on, or of one step',
    params,
    headers: CreateHeaders,
    body: RetryRun.prefault({}),
    answers: { 201: RunSummary, 200: RunSummary },
  },
  'POST /api/runs/:id/retry-plan': {
    who: 'user',
    tag,
    summary: 'What such a retry would take over, run again and leave out; nothing is begun',
    params,
    body: RetryRun.prefault({}),
    answers: { 200: RetryPlan },
  },
  'POST /api/runs/:id/rollback': {
    who: 'user',
    tag,
    summary: 'A new run that undoes what succeeded, in reverse',
    params,
    body: z.strictObject({}).prefault({}),
    answers: { 201: RunSummary },
  },
  'DELETE /api/runs/:id': {
    who: 'user',
    tag,
    summary: 'Delete an ended run, and the runs that it has started: events, output, all',
    params,
    answers: { 200: RunsDeleted },
  },
  'POST /api/runs/:id/approve': {
    who: 'user',
    tag,
    summary: 'Say yes to a waiting approval',
    params,
    body: AnswerApproval,
    answers: { 200: Accepted },
  },
  'POST /api/runs/:id/reject': {
    who: 'user',
    tag,
    summary: 'Say no to a waiting approval',
    params,
    body: AnswerApproval,
    answers: { 200: Accepted },
  },
  'GET /api/runs/:id/workspace': {
    who: 'user',
    tag,
    summary: 'The folder that a session works in, and the commits that it has made there, while it goes on',
    params,
    answers: { 200: WorkspaceChange },
  },
  'GET /api/runs/:id/workspace/files': {
    who: 'user',
    tag,
    summary: 'A folder below it: folders first, at most 2,000 entries',
    params,
    query: FolderQuery,
    answers: { 200: WorkspaceFolder },
  },
  'GET /api/runs/:id/workspace/file': {
    who: 'user',
    tag,
    summary: 'The text of a file below it, of a longer one the first 512 KiB',
    params,
    query: FileQuery,
    answers: { 200: WorkspaceFile },
  },
  'GET /api/runs/:id/workspace/diff': {
    who: 'user',
    tag,
    summary:
      'The change against the commit at which the session found it, or that of one commit since, as a diff',
    params,
    query: ChangeQuery,
    answers: { 200: content('The diff', 'text/x-diff') },
  },
  'GET /api/runs/:id/shares': {
    who: 'user',
    tag,
    summary: 'With whom a run is shared, beside its owner and the admins',
    params,
    answers: { 200: ShareList },
  },
  'PUT /api/runs/:id/shares': {
    who: 'user',
    tag,
    summary: 'Share your run with a user or a role of the tenant: to watch, or to take part',
    params,
    body: ShareRun,
    answers: { 200: ShareList },
  },
  'DELETE /api/runs/:id/shares': {
    who: 'user',
    tag,
    summary: 'Take a share back; streams that it had open end',
    params,
    query: UnshareRun,
    answers: { 200: ShareList },
  },
  'GET /api/approvals': {
    who: 'user',
    tag,
    summary: 'Runs of others that wait for an answer which you may give, at most 200',
    answers: { 200: ApprovalList },
  },
  'POST /api/runs/:id/input': {
    who: 'user',
    tag,
    summary: 'Give a prompt, an answer or an end to the agent of a run; what comes of it, its events tell',
    params,
    headers: z.object({
      'idempotency-key': z
        .string()
        .min(1)
        .max(200)
        .optional()
        .describe('As `input_id`, where the body has none: a repeat changes nothing'),
    }),
    body: RunInput.prefault({}),
    answers: { 202: InputAccepted },
  },
  'POST /api/chat': {
    who: 'user',
    tag,
    summary: 'Ask an agent and wait for the whole answer; a caller that goes away cancels it',
    body: ChatRequest,
    answers: { 200: ChatAnswer },
  },
  'GET /api/events': {
    who: 'user',
    tag,
    summary:
      'Runs, tasks and runners as they change, and events of single runs, as Server-Sent Events without an end',
    tokenIn: 'query',
    query: HubEventsQuery,
    headers: z.object({ 'last-event-id': z.string().optional() }),
    answers: {
      200: {
        description:
          '`run`: a RunSummary; `asks`: one of others, in which you may give an answer; `shared`: one of others that is shared with you, `unshared`: the `run_id` of one that is no more; `task`: a TaskSummary; `runners`: their list, `waits`: what waits for them, and `groups`: read those whose runners are made again; `run.event`: an event of the run of a topic; `topic`: one was added, has ended, is refused or begins anew; `start`: its id, for changes of its topics; `reset`: read lists of runs again; `error`: why it ends',
        content: { 'text/event-stream': { schema: RunSummary } },
      },
    },
  },
  'POST /api/events/:id': {
    who: 'user',
    tag,
    summary: 'Add topics to your open stream, or drop some: one connection serves all pages of a browser',
    params: z.object({ id: z.string().describe('The stream, as its `start` names it') }),
    body: ChangeTopics,
    answers: { 200: StreamTopics },
  },
  'GET /api/runs/:id/events': {
    who: 'user',
    tag,
    summary:
      'Events as Server-Sent Events until the run has ended; as a JSON array with Accept: application/json',
    tokenIn: 'query',
    params,
    query: EventsQuery,
    headers: EventsHeaders,
    answers: {
      200: {
        description: 'The events',
        content: { 'text/event-stream': { schema: RunEvent }, 'application/json': { schema: EventList } },
      },
      204: nothing.describe('The run has ended, and Last-Event-ID names its last event'),
    },
  },
  'GET /api/runs/:id/attempts/:number/output/:stream': {
    who: 'user',
    tag,
    summary: 'The bytes of an output, whole or by range, as far as they are there',
    tokenIn: 'query',
    head: true,
    params: OutputPath,
    query: z.object({
      damaged: z.stringbool().optional().describe('What is there, also where bytes are missing'),
      access_token: z.string().optional(),
    }),
    headers: z.object({
      range: z.string().optional().describe('`bytes=0-99`, `bytes=100-` or `bytes=-100`'),
    }),
    answers: { 200: content('The whole', 'text/plain'), 206: content('The range', 'text/plain') },
  },
  'GET /api/runs/:id/attempts/:number/lines': {
    who: 'user',
    tag,
    summary: 'Lines of a log: both streams in the order in which they came, numbered for good',
    params: AttemptPath,
    query: LinesQuery,
    answers: { 200: Lines },
  },
  'GET /api/runs/:id/attempts/:number/lines/stretches': {
    who: 'user',
    tag,
    summary: 'Which lines of a log are of one stream, by their numbers',
    params: AttemptPath,
    query: StretchesQuery,
    answers: { 200: Stretches },
  },
  'GET /api/runs/:id/attempts/:number/lines/search': {
    who: 'user',
    tag,
    summary: 'Lines of a log in which something is found, a part of the log at a time',
    params: AttemptPath,
    query: SearchLinesQuery,
    answers: { 200: FoundLines },
  },
  'GET /run-status': {
    who: 'user',
    tag,
    summary: "A run's state, as the workflow runner tells it",
    query: z.object({ run_id: z.string() }),
    answers: { 200: RunStatusView },
  },
  'POST /api/validate': {
    who: 'user',
    tag,
    summary: 'Every mistake in a workflow file; nothing is run',
    body: ValidateRequest,
    answers: { 200: ValidateAnswer },
  },
})
