// Entry of the window: picks the way to main that this host offers and starts the app over it.
import { start } from './start';
import { hostTransport } from './transport';

start(hostTransport(), '#app');
