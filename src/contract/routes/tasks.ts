import * as z from 'zod'
import { AddTaskArtifact, AddTaskEvent, SetTaskStatus } from '../tasks/services.ts'
import {
  ApproveTask,
  CancelTask,
  CreateTasks,
  CreateTasksHeaders,
  FollowTask,
  ListTasks,
  PromptTask,
  RegistryArtifact,
  RegistryEvent,
  RegistryTask,
  RetryTask,
  TaskArtifacts,
  TaskDeleted,
  TaskEventList,
  TaskEventsQuery,
  TaskList,
  TaskRuns,
  TaskSummary,
  TasksCreated,
  TaskView,
} from '../tasks/task-api.ts'
import { TaskEvent } from '../tasks/task-log.ts'
import { content, nothing, routeTable } from './route.ts'

const tag = 'tasks'
const params = z.object({
  id: z.string().describe('The task: `task_…`, `spec/id`, or an id that is one task alone'),
})

export const taskRoutes = routeTable({
  'POST /api/tasks': {
    who: 'user',
    tag,
    summary: 'Coding tasks: one, or a file of them that is taken whole or not at all',
    headers: CreateTasksHeaders,
    body: CreateTasks,
    answers: { 201: TasksCreated, 200: TasksCreated },
  },
  'GET /api/tasks': {
    who: 'user',
    tag,
    summary: 'Tasks, newest first: yours; for an admin, all',
    query: ListTasks,
    answers: { 200: TaskList },
  },
  'GET /api/tasks/:id': {
    who: 'user',
    tag,
    summary: 'A task with its tries',
    params,
    answers: { 200: TaskView },
  },
  'DELETE /api/tasks/:id': {
    who: 'user',
    tag,
    summary: 'Delete a task that is over, with its log and the runs of its tries: events, output, artifacts',
    params,
    answers: { 200: TaskDeleted },
  },
  'GET /api/tasks/:id/events': {
    who: 'user',
    tag,
    summary: 'Its log as Server-Sent Events until it is over; as a JSON array with Accept: application/json',
    tokenIn: 'query',
    params,
    query: TaskEventsQuery,
    headers: z.object({
      'last-event-id': z
        .string()
        .regex(/^\d*$/, 'the seq of an event is a number')
        .optional()
        .describe('As `after`; goes before it'),
    }),
    answers: {
      200: {
        description: 'The events',
        content: {
          'text/event-stream': { schema: TaskEvent },
          'application/json': { schema: TaskEventList },
        },
      },
      204: nothing.describe('The task is over, and Last-Event-ID names its last event'),
    },
  },
  'GET /api/tasks/:id/runs': {
    who: 'user',
    tag,
    summary: 'The runs of its tries, oldest first',
    params,
    answers: { 200: TaskRuns },
  },
  'GET /api/tasks/:id/artifacts': {
    who: 'user',
    tag,
    summary: 'All that its tries have kept',
    params,
    answers: { 200: TaskArtifacts },
  },
  'GET /api/tasks/:id/diff': {
    who: 'user',
    tag,
    summary: 'The change that its tries have kept last, as a diff, or one commit of it as a patch',
    tokenIn: 'query',
    head: true,
    params,
    query: z.object({
      commit: z.coerce.number().int().min(1).optional().describe('Which commit, from 1'),
      access_token: z.string().optional(),
    }),
    headers: z.object({
      range: z.string().optional().describe('`bytes=0-99`, `bytes=100-` or `bytes=-100`'),
    }),
    answers: {
      200: content('The whole', 'application/octet-stream'),
      206: content('The range', 'application/octet-stream'),
    },
  },
  'POST /api/tasks/:id/cancel': {
    who: 'user',
    tag,
    summary: 'End it, and its run; what hangs on it is blocked, or ended too where that is asked',
    params,
    body: CancelTask.prefault({}),
    answers: { 202: TaskSummary },
  },
  'POST /api/tasks/:id/retry': {
    who: 'user',
    tag,
    summary: 'Another try, from the work that is kept',
    params,
    body: RetryTask.prefault({}),
    answers: { 202: TaskSummary },
  },
  'POST /api/tasks/:id/follow': {
    who: 'user',
    tag,
    summary: 'Feed back to its agent what checks and reviews say against its pull request, or do so no more',
    params,
    body: FollowTask.prefault({}),
    answers: { 202: TaskSummary },
  },
  'POST /api/tasks/:id/approve': {
    who: 'user',
    tag,
    summary: 'Answer what it asks a person',
    params,
    body: ApproveTask.prefault({}),
    answers: { 202: TaskSummary },
  },
  'POST /api/tasks/:id/prompt': {
    who: 'user',
    tag,
    summary: 'A prompt for the agent that is at it',
    params,
    body: PromptTask,
    answers: { 202: z.object({ run_id: z.string(), input_id: z.string() }) },
  },
  'POST /api/hooks/forges/:host': {
    who: 'anyone',
    anyHost: true,
    tag,
    summary:
      "A forge's webhook, signed with the secret that errand.yaml names for it: what it is about is looked at",
    params: z.object({ host: z.string().describe('As errand.yaml has it, with its port') }),
    raw: true,
    // Forges send a whole pull request; it is parsed only after its signature is verified.
    bodyBytes: 1024 * 1024,
    answers: { 202: z.object({ woken: z.int().min(0).describe('How many things are looked at') }) },
  },
  'PUT /api/registry/tasks/:id/status': {
    who: 'user',
    tag,
    summary: "Task registry: another system's word for how a task stands",
    params,
    body: SetTaskStatus,
    answers: { 200: RegistryTask },
  },
  'POST /api/registry/tasks/:id/events': {
    who: 'user',
    tag,
    summary: 'Task registry: an event of a task',
    params,
    body: AddTaskEvent,
    answers: { 201: RegistryEvent },
  },
  'POST /api/registry/tasks/:id/artifacts': {
    who: 'user',
    tag,
    summary: 'Task registry: something of a task that is kept elsewhere; the same again answers 200',
    params,
    body: AddTaskArtifact,
    answers: { 201: RegistryArtifact, 200: RegistryArtifact },
  },
})
