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
  id: z.string().describe('The task: `task_…`, `spec/id`, or an id that only one task has'),
})

export const taskRoutes = routeTable({
  'POST /api/tasks': {
    who: 'user',
    tag,
    summary: 'Create coding tasks: one, or a file of tasks that is accepted completely or not at all',
    headers: CreateTasksHeaders,
    body: CreateTasks,
    answers: { 201: TasksCreated, 200: TasksCreated },
  },
  'GET /api/tasks': {
    who: 'user',
    tag,
    summary: 'List your tasks, newest first; for an admin, all tasks',
    query: ListTasks,
    answers: { 200: TaskList },
  },
  'GET /api/tasks/:id': {
    who: 'user',
    tag,
    summary: 'Show a task with its tries',
    params,
    answers: { 200: TaskView },
  },
  'DELETE /api/tasks/:id': {
    who: 'user',
    tag,
    summary:
      'Delete a task that is over, with its log and the runs of its tries, including events, output and artifacts',
    params,
    answers: { 200: TaskDeleted },
  },
  'GET /api/tasks/:id/events': {
    who: 'user',
    tag,
    summary:
      'The log of a task as Server-Sent Events until the task is over, or as a JSON array with Accept: application/json',
    tokenIn: 'query',
    params,
    query: TaskEventsQuery,
    headers: z.object({
      'last-event-id': z
        .string()
        .regex(/^\d*$/, 'the seq of an event must be a number')
        .optional()
        .describe('Like `after`; takes precedence over it'),
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
    summary: 'The runs of the tries of a task, oldest first',
    params,
    answers: { 200: TaskRuns },
  },
  'GET /api/tasks/:id/artifacts': {
    who: 'user',
    tag,
    summary: 'All artifacts of the tries of a task',
    params,
    answers: { 200: TaskArtifacts },
  },
  'GET /api/tasks/:id/diff': {
    who: 'user',
    tag,
    summary:
      'The last change that the tries of a task have stored, as a diff, or one of its commits as a patch',
    tokenIn: 'query',
    head: true,
    params,
    query: z.object({
      commit: z.coerce.number().int().min(1).optional().describe('Number of the commit, from 1'),
      access_token: z.string().optional(),
    }),
    headers: z.object({
      range: z.string().optional().describe('`bytes=0-99`, `bytes=100-` or `bytes=-100`'),
    }),
    answers: {
      200: content('All of it', 'application/octet-stream'),
      206: content('The requested range', 'application/octet-stream'),
    },
  },
  'POST /api/tasks/:id/cancel': {
    who: 'user',
    tag,
    summary: 'End a task and its run; tasks that depend on it are blocked, or also ended on request',
    params,
    body: CancelTask.prefault({}),
    answers: { 202: TaskSummary },
  },
  'POST /api/tasks/:id/retry': {
    who: 'user',
    tag,
    summary: 'Start another try from the stored work',
    params,
    body: RetryTask.prefault({}),
    answers: { 202: TaskSummary },
  },
  'POST /api/tasks/:id/follow': {
    who: 'user',
    tag,
    summary:
      'Send problems that checks and reviews report on its pull request back to its agent, or stop doing so',
    params,
    body: FollowTask.prefault({}),
    answers: { 202: TaskSummary },
  },
  'POST /api/tasks/:id/approve': {
    who: 'user',
    tag,
    summary: 'Answer a question of the task',
    params,
    body: ApproveTask.prefault({}),
    answers: { 202: TaskSummary },
  },
  'POST /api/tasks/:id/prompt': {
    who: 'user',
    tag,
    summary: 'Send a prompt to the agent that works on the task',
    params,
    body: PromptTask,
    answers: { 202: z.object({ run_id: z.string(), input_id: z.string() }) },
  },
  'POST /api/hooks/forges/:host': {
    who: 'anyone',
    anyHost: true,
    tag,
    summary:
      "Receive a forge's webhook, signed with the secret that errand.yaml names; the hub then checks what it is about",
    params: z.object({ host: z.string().describe('Host as in errand.yaml, with its port') }),
    raw: true,
    // Forges send a whole pull request; it is parsed only after its signature is verified.
    bodyBytes: 1024 * 1024,
    answers: { 202: z.object({ woken: z.int().min(0).describe('How many things the hub checks') }) },
  },
  'PUT /api/registry/tasks/:id/status': {
    who: 'user',
    tag,
    summary: 'Task registry: report the state of a task from another system',
    params,
    body: SetTaskStatus,
    answers: { 200: RegistryTask },
  },
  'POST /api/registry/tasks/:id/events': {
    who: 'user',
    tag,
    summary: 'Task registry: report an event of a task',
    params,
    body: AddTaskEvent,
    answers: { 201: RegistryEvent },
  },
  'POST /api/registry/tasks/:id/artifacts': {
    who: 'user',
    tag,
    summary:
      'Task registry: report an artifact of a task that is stored elsewhere; the same again answers 200',
    params,
    body: AddTaskArtifact,
    answers: { 201: RegistryArtifact, 200: RegistryArtifact },
  },
})
