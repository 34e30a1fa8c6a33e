import * as z from 'zod'
import {
  CreateView,
  Failures,
  KeptView,
  ListFailures,
  ListViews,
  MarkSeen,
  PatchView,
  SeenFailures,
  ViewList,
} from '../runs/kept-views.ts'
import { nothing, routeTable } from './route.ts'

const tag = 'runs'
const params = z.object({ id: z.string().describe('The view') })

export const viewRoutes = routeTable({
  'GET /api/views': {
    who: 'user',
    tag,
    summary: 'Filters of the list of runs that were saved under a name: yours, and those of all',
    query: ListViews,
    answers: { 200: ViewList },
  },
  'POST /api/views': {
    who: 'user',
    tag,
    summary: 'Save a filter under a name, for yourself or for all of the tenant',
    body: CreateView,
    answers: { 201: KeptView, 200: KeptView },
  },
  'PATCH /api/views/:id': {
    who: 'user',
    tag,
    summary: 'Rename a view, or change its filter or for whom it is',
    params,
    body: PatchView,
    answers: { 200: KeptView },
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
    summary: 'Your runs that failed or were interrupted and that you have not looked at, the latest first',
    query: ListFailures,
    answers: { 200: Failures },
  },
  'POST /api/me/seen': {
    who: 'user',
    tag,
    summary: 'You have looked at these failures, or at all until a time',
    body: MarkSeen,
    answers: { 200: SeenFailures },
  },
})
