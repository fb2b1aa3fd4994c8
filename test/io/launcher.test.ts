import test from 'ava';
import { launcherConformance } from '../conformance/launcher.ts';
import { simulatedLauncherWorld } from '../sim/launcher-world.ts';
import { realLauncherWorld } from './launcher-world.ts';

launcherConformance(test, 'simulated', simulatedLauncherWorld);
launcherConformance(test, 'real', realLauncherWorld);
