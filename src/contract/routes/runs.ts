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
    .describe('Repeating a request with the same key and body answers 200 and the same run'),
})
const CreateQuery = z.strictObject({
  var: z
    .union([z.string(), z.array(z.string())])
    .optional()
    .describe('`KEY=value`, repeatable; with a YAML body'),
  label: z
    .union([z.string(), z.array(z.string())])
    .optional()
    .describe('`NAME=value`, repeatable; like `labels` in the body'),
  run_id: z.optional(RunId).describe('Like `run_id` in the body'),
  repository: CreateRun.shape.repository,
})
const EventsHeaders = z.object({
  'last-event-id': z
    .string()
    .regex(/^\d*$/, 'the seq of an event must be a number')
    .optional()
    .describe('Like `after`; takes precedence over it'),
})

export const runRoutes = routeTable({
  'POST /api/runs': {
    who: 'user',
    tag,
    summary: 'Start a run of a workflow (JSON or application/yaml) or of an agent',
    headers: CreateHeaders,
    query: CreateQuery,
    body: CreateRun,
    answers: { 201: RunCreated, 200: RunCreated },
  },
  'GET /api/runs': {
    who: 'user',
    tag,
    summary: 'List your runs, newest first; for an admin, all runs',
    query: ListRuns,
    answers: { 200: RunList },
  },
  'GET /api/run-counts': {
    who: 'user',
    tag,
    summary: 'Count the runs that match a filter, by status; exact up to 10,000 of each',
    query: CountRuns,
    answers: { 200: RunCounts },
  },
  'POST /api/runs/bulk': {
    who: 'user',
    tag,
    summary: 'Cancel, retry or delete many runs, by ids or by a filter; the answer has the result for each',
    headers: z.object({
      'idempotency-key': z
        .string()
        .min(1)
        .max(255)
        .optional()
        .describe('Repeating a request with the same key and body changes nothing more'),
    }),
    body: BulkRuns,
    answers: { 200: BulkDone },
  },
  'GET /api/runs/:id': {
    who: 'user',
    tag,
    summary: 'Show a run with its steps',
    params,
    query: RunViewQuery,
    answers: { 200: RunView },
  },
  'GET /api/runs/:id/steps/:step/instances': {
    who: 'user',
    tag,
    summary: 'Instances of a step with their attempts, in pages; failed instances come first',
    params: InstancesPath,
    query: InstancesQuery,
    answers: { 200: InstancePage },
  },
  'GET /api/runs/:id/steps/:step/overview': {
    who: 'user',
    tag,
    summary:
      'Overview of all instances of a step: their states in order, median durations and when they ended',
    params: InstancesPath,
    query: OverviewQuery,
    answers: { 200: StepOverview },
  },
  'GET /api/runs/:id/last-good': {
    who: 'user',
    tag,
    summary: 'The last successful run of the same workflow and owner before this one, for comparison',
    params,
    answers: { 200: LastGood },
  },
  'GET /api/runs/:id/workflow': {
    who: 'user',
    tag,
    summary: 'The workflow that the run was created from',
    params,
    answers: { 200: RunWorkflow },
  },
  'GET /api/runs/:id/outline': {
    who: 'user',
    tag,
    summary: 'The steps of that workflow, without their actions and their lists of items',
    params,
    answers: { 200: RunOutline },
  },
  'POST /api/runs/:id/cancel': {
    who: 'user',
    tag,
    summary: 'Cancel a run; its end is reported as an event',
    params,
    body: CancelRun.prefault({}),
    answers: { 202: Accepted },
  },
  'POST /api/runs/:id/resume': {
    who: 'user',
    tag,
    summary: 'Resume a run that is set aside (admin)',
    params,
    body: z.strictObject({}).prefault({}),
    answers: { 200: RunSummary },
  },
  'POST /api/runs/:id/retry': {
    who: 'user',
    tag,
    summary: 'Start a new run of the same workflow: all of it, what failed, from a step onward, or one step',
    params,
    headers: CreateHeaders,
    body: RetryRun.prefault({}),
    answers: { 201: RunSummary, 200: RunSummary },
  },
  'POST /api/runs/:id/retry-plan': {
    who: 'user',
    tag,
    summary: 'What such a retry would reuse, run again and leave out; nothing is started',
    params,
    body: RetryRun.prefault({}),
    answers: { 200: RetryPlan },
  },
  'POST /api/runs/:id/rollback': {
    who: 'user',
    tag,
    summary: 'Start a run that rolls back the steps that succeeded, in reverse order',
    params,
    body: z.strictObject({}).prefault({}),
    answers: { 201: RunSummary },
  },
  'DELETE /api/runs/:id': {
    who: 'user',
    tag,
    summary: 'Delete an ended run and the runs that it has started, with all events and output',
    params,
    answers: { 200: RunsDeleted },
  },
  'POST /api/runs/:id/approve': {
    who: 'user',
    tag,
    summary: 'Approve a step that waits for approval',
    params,
    body: AnswerApproval,
    answers: { 200: Accepted },
  },
  'POST /api/runs/:id/reject': {
    who: 'user',
    tag,
    summary: 'Reject a step that waits for approval',
    params,
    body: AnswerApproval,
    answers: { 200: Accepted },
  },
  'GET /api/runs/:id/workspace': {
    who: 'user',
    tag,
    summary: 'The folder that a running session works in, and the commits that it has made there',
    params,
    answers: { 200: WorkspaceChange },
  },
  'GET /api/runs/:id/workspace/files': {
    who: 'user',
    tag,
    summary: 'List a folder in that workspace: folders first, at most 2,000 entries',
    params,
    query: FolderQuery,
    answers: { 200: WorkspaceFolder },
  },
  'GET /api/runs/:id/workspace/file': {
    who: 'user',
    tag,
    summary: 'The text of a file in that workspace; of a longer file, the first 512 KiB',
    params,
    query: FileQuery,
    answers: { 200: WorkspaceFile },
  },
  'GET /api/runs/:id/workspace/diff': {
    who: 'user',
    tag,
    summary:
      'The change since the commit at which the session began, or the change of one commit since then, as a diff',
    params,
    query: ChangeQuery,
    answers: { 200: content('The diff', 'text/x-diff') },
  },
  'GET /api/runs/:id/shares': {
    who: 'user',
    tag,
    summary: 'Who a run is shared with, besides its owner and the admins',
    params,
    answers: { 200: ShareList },
  },
  'PUT /api/runs/:id/shares': {
    who: 'user',
    tag,
    summary: 'Share your run with a user or a role of the tenant, to watch or to take part',
    params,
    body: ShareRun,
    answers: { 200: ShareList },
  },
  'DELETE /api/runs/:id/shares': {
    who: 'user',
    tag,
    summary: 'Remove a share; streams that it had opened end',
    params,
    query: UnshareRun,
    answers: { 200: ShareList },
  },
  'GET /api/approvals': {
    who: 'user',
    tag,
    summary: "Other users' runs that wait for an answer that you may give, at most 200",
    answers: { 200: ApprovalList },
  },
  'POST /api/runs/:id/input': {
    who: 'user',
    tag,
    summary: 'Send a prompt or an answer to the agent of a run, or end it; events report the result',
    params,
    headers: z.object({
      'idempotency-key': z
        .string()
        .min(1)
        .max(200)
        .optional()
        .describe('Like `input_id`, if the body has none: repeating the request changes nothing'),
    }),
    body: RunInput.prefault({}),
    answers: { 202: InputAccepted },
  },
  'POST /api/chat': {
    who: 'user',
    tag,
    summary: 'Ask an agent and wait for the whole answer; disconnecting cancels the run',
    body: ChatRequest,
    answers: { 200: ChatAnswer },
  },
  'GET /api/events': {
    who: 'user',
    tag,
    summary:
      'Changes of runs, tasks and runners, and events of single runs, as an endless stream of Server-Sent Events',
    tokenIn: 'query',
    query: HubEventsQuery,
    headers: z.object({ 'last-event-id': z.string().optional() }),
    answers: {
      200: {
        description:
          "`run`: a RunSummary; `asks`: another user's run in which you may give an answer; `shared`: another user's run that is shared with you; `unshared`: the `run_id` of a run that is no longer shared; `task`: a TaskSummary; `runners`: the list of runners; `waits`: what waits for runners; `groups`: read the groups with provisioned runners again; `run.event`: an event of a run that is a topic; `topic`: a topic was added, has ended, was refused or starts over; `start`: the id of the stream, for changing its topics; `reset`: read lists of runs again; `error`: why the stream ends",
        content: { 'text/event-stream': { schema: RunSummary } },
      },
    },
  },
  'POST /api/events/:id': {
    who: 'user',
    tag,
    summary: 'Add topics to your open stream, or remove some: one connection serves all pages of a browser',
    params: z.object({ id: z.string().describe('The id of the stream, from its `start` event') }),
    body: ChangeTopics,
    answers: { 200: StreamTopics },
  },
  'GET /api/runs/:id/events': {
    who: 'user',
    tag,
    summary:
      'Events of a run as Server-Sent Events until the run has ended, or as a JSON array with Accept: application/json',
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
    summary: 'The bytes of an output, all of them or a range, as far as they are available',
    tokenIn: 'query',
    head: true,
    params: OutputPath,
    query: z.object({
      damaged: z.stringbool().optional().describe('Return what is available even if bytes are missing'),
      access_token: z.string().optional(),
    }),
    headers: z.object({
      range: z.string().optional().describe('`bytes=0-99`, `bytes=100-` or `bytes=-100`'),
    }),
    answers: { 200: content('All of it', 'text/plain'), 206: content('The requested range', 'text/plain') },
  },
  'GET /api/runs/:id/attempts/:number/lines': {
    who: 'user',
    tag,
    summary: 'Lines of a log: both streams in order of arrival, with permanent numbers',
    params: AttemptPath,
    query: LinesQuery,
    answers: { 200: Lines },
  },
  'GET /api/runs/:id/attempts/:number/lines/stretches': {
    who: 'user',
    tag,
    summary: 'The line numbers of one stream of a log',
    params: AttemptPath,
    query: StretchesQuery,
    answers: { 200: Stretches },
  },
  'GET /api/runs/:id/attempts/:number/lines/search': {
    who: 'user',
    tag,
    summary: 'Search the lines of a log, one part of the log at a time',
    params: AttemptPath,
    query: SearchLinesQuery,
    answers: { 200: FoundLines },
  },
  'GET /run-status': {
    who: 'user',
    tag,
    summary: 'The state of a run, in the format of the workflow runner',
    query: z.object({ run_id: z.string() }),
    answers: { 200: RunStatusView },
  },
  'POST /api/validate': {
    who: 'user',
    tag,
    summary: 'Report every mistake in a workflow file; nothing is run',
    body: ValidateRequest,
    answers: { 200: ValidateAnswer },
  },
})
