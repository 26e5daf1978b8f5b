// The list of pages, each loaded when it is first opened.
import { createRouter, createWebHashHistory, type RouteRecordRaw, type Router } from 'vue-router';

/** Pages of the left rail in order; `name` is also the key of the page's label in the catalogue. */
export const PAGES = ['build', 'runs', 'compare', 'generate', 'device'] as const;
export type PageName = (typeof PAGES)[number];

const routes: RouteRecordRaw[] = [
  { path: '/', redirect: { name: 'build' } },
  { path: '/build', name: 'build', component: () => import('./pages/build/BuildPage.vue') },
  { path: '/runs/:id?', name: 'runs', component: () => import('./pages/runs/RunsPage.vue') },
  // `?runs=a,b` chooses what is compared.
  { path: '/compare', name: 'compare', component: () => import('./pages/compare/ComparePage.vue') },
  // `?runs=a,b` chooses which one or two models write.
  { path: '/generate', name: 'generate', component: () => import('./pages/generate/GeneratePage.vue') },
  { path: '/device', name: 'device', component: () => import('./pages/device/DevicePage.vue') },
  { path: '/:rest(.*)*', redirect: { name: 'build' } },
];

export const createAppRouter = (): Router => createRouter({ history: createWebHashHistory(), routes });
