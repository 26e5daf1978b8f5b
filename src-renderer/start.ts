// Starts the app over a given transport: the entry passes the host's, tests pass one of their own.
import { createPinia } from 'pinia';
import { createApp } from 'vue';
import { z } from 'zod';
import App from './App.vue';
import { i18n } from './i18n';
import { createAppRouter } from './routes';
import { connect } from './rpc';
import { useSettings } from './stores/settings';
import './styles.css';
import type { Transport } from './transport';

/** Mounts the window on `target` (a selector) and connects it to main through `transport`. */
export function start(transport: Transport, target: string): void {
  // The strict CSP forbids code made from strings, which zod would otherwise try.
  z.config({ jitless: true });
  connect(transport);
  const app = createApp(App);
  app.use(createPinia());
  app.use(i18n);
  app.use(createAppRouter());
  void useSettings().load();
  app.mount(target);
}
