import * as z from 'zod'
import {
  CreateView,
  Failures,
  ListFailures,
  ListViews,
  MarkSeen,
  PatchView,
  SavedView,
  SeenFailures,
  ViewList,
} from '../runs/saved-views.ts'
import { nothing, routeTable } from './route.ts'

const tag = 'runs'
const params = z.object({ id: z.string().describe('The view') })

export const viewRoutes = routeTable({
  'GET /api/views': {
    who: 'user',
    tag,
    summary: 'List the saved filters of the list of runs: yours and the shared ones',
    query: ListViews,
    answers: { 200: ViewList },
  },
  'POST /api/views': {
    who: 'user',
    tag,
    summary: 'Save a filter under a name, for yourself or for everyone in the tenant',
    body: CreateView,
    answers: { 201: SavedView, 200: SavedView },
  },
  'PATCH /api/views/:id': {
    who: 'user',
    tag,
    summary: 'Rename a view, or change its filter or who can use it',
    params,
    body: PatchView,
    answers: { 200: SavedView },
  },
  'DELETE /api/views/:id': {
    who: 'user',
    tag,
    summary: 'Delete a view',
    params,
    answers: { 204: nothing },
  },
  'GET /api/me/failures': {
    who: 'user',
    tag,
    summary: 'Your failed or interrupted runs that you have not seen yet, latest first',
    query: ListFailures,
    answers: { 200: Failures },
  },
  'POST /api/me/seen': {
    who: 'user',
    tag,
    summary: 'Mark these failures as seen, or all failures up to a time',
    body: MarkSeen,
    answers: { 200: SeenFailures },
  },
})
