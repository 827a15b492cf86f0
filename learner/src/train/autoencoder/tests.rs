use super::*;

fn matrix(random: &mut Random, rows: usize, width: usize) -> Array2<f32> {
    Array2::from_shape_simple_fn((rows, width), || random.normal() as f32)
}

fn settings(widths: &[usize], noise: Noise) -> Settings {
    Settings {
        widths: widths.to_vec(),
        members: 1,
        forest: true,
        epochs_max: 80,
        batch: 16,
        patience: 80,
        rate: 0.01,
        noise,
    }
}

#[test]
fn the_gradient_is_that_of_finite_differences() {
    const STEP: f32 = 1e-3;
    let mut random = Random::new(4);
    let network = Network::new(&[5, 4, 2, 4, 5], &mut random);
    let (input, target) = (matrix(&mut random, 6, 5), matrix(&mut random, 6, 5));
    let (_, gradient) = network.gradient(input.view(), target.view());
    let loss = |network: &Network| network.gradient(input.view(), target.view()).0;
    for (depth, layer) in network.layers.iter().enumerate() {
        let (inputs, outputs) = layer.weights.dim();
        for output in 0..outputs {
            for at in 0..=inputs {
                let nudge = |by: f32| {
                    let mut other = network.clone();
                    let layer = &mut other.layers[depth];
                    if at == inputs {
                        layer.biases[output] += by;
                    } else {
                        layer.weights[[at, output]] += by;
                    }
                    loss(&other)
                };
                let slope = (nudge(STEP) - nudge(-STEP)) / f64::from(2.0 * STEP);
                let layer = &gradient[depth];
                let found = if at == inputs { layer.biases[output] } else { layer.weights[[at, output]] };
                let off = (f64::from(found) - slope).abs();
                assert!(off < 2e-3, "layer {depth}, {output} from {at}: {found} for {slope}");
            }
        }
    }
}

/// Rows on a plane in six dimensions.
fn plane(random: &mut Random, rows: usize) -> Array2<f32> {
    let mut plane = Array2::zeros((rows, 6));
    for mut row in plane.rows_mut() {
        let (a, b) = (random.normal() as f32, random.normal() as f32);
        row.assign(&Array1::from(vec![a, b, a + b, a - b, 2.0 * a, 0.5 * b]));
    }
    plane
}

#[test]
fn a_plane_in_space_fits_through_a_bottleneck() {
    for widths in [vec![2], vec![8, 2, 8], vec![8, 6, 2, 6, 8]] {
        let mut random = Random::new(9);
        let (train, validate) = (plane(&mut random, 500), plane(&mut random, 100));
        let all: Vec<usize> = [6].into_iter().chain(widths.clone()).chain([6]).collect();
        let network = Network::new(&all, &mut random);
        let before = network.loss(validate.view());
        let settings = settings(&widths, Noise::None);
        let parts = [train.view(), validate.view()];
        let (trained, _) = fit(network, parts, &[1; 6], &settings, &mut random, || ());
        let after = trained.loss(validate.view());
        assert!(after < 0.05 * before, "{widths:?}: {before} became {after}");
    }
}

#[test]
fn training_stops_when_patience_ends_and_keeps_the_best() {
    let mut random = Random::new(2);
    // Nothing can be learned from noise, so the loss on other noise soon rises.
    let (train, validate) = (matrix(&mut random, 40, 6), matrix(&mut random, 200, 6));
    let network = Network::new(&[6, 32, 4, 32, 6], &mut random);
    let settings = Settings { patience: 4, epochs_max: 400, ..settings(&[32, 4, 32], Noise::None) };
    let mut epochs = 0;
    let parts = [train.view(), validate.view()];
    let (trained, best) = fit(network.clone(), parts, &[1; 6], &settings, &mut random, || epochs += 1);
    assert!(epochs < 400 && epochs == best + 4, "{best} of {epochs} epochs");
    assert!(trained.loss(validate.view()) <= network.loss(validate.view()));
}

#[test]
fn a_network_trained_with_noise_repairs_what_is_spoiled() {
    let spoiled_loss = |noise: Noise| {
        let mut random = Random::new(6);
        let (train, validate) = (plane(&mut random, 500), plane(&mut random, 200));
        let network = Network::new(&[6, 12, 6, 12, 6], &mut random);
        let parts = [train.view(), validate.view()];
        let settings = settings(&[12, 6, 12], noise);
        let (trained, _) = fit(network, parts, &[1; 6], &settings, &mut random, || ());
        let mut masked = validate.clone();
        masked.column_mut(0).fill(0.0);
        trained.gradient(masked.view(), validate.view()).0
    };
    let without = spoiled_loss(Noise::None);
    for noise in [Noise::Mask(0.2), Noise::Swap(0.2)] {
        let with = spoiled_loss(noise);
        assert!(with < 0.5 * without, "{noise:?}: {with}, without noise {without}");
    }
}

#[test]
fn noise_spoils_a_features_inputs_together() {
    let rows = Array2::from_shape_fn((200, 3), |(row, _)| 1.0 + row as f32);
    let mut random = Random::new(1);
    for noise in [Noise::Mask(0.3), Noise::Swap(0.3)] {
        let spoiled = spoiled(&rows, &[1, 2], noise, &mut random);
        assert!(spoiled.rows().into_iter().all(|row| row[1] == row[2]), "{noise:?}");
        let changed = (0..200).filter(|&row| spoiled[[row, 1]] != rows[[row, 1]]).count();
        assert!((35..=85).contains(&changed), "{noise:?} changed {changed} of 200");
    }
}

#[test]
fn settings_that_make_no_network_are_refused() {
    let sound = settings(&[4, 2, 4], Noise::None);
    sound.check().unwrap();
    assert_eq!(sound.hidden(40), [4, 2, 4]);
    assert_eq!(Settings::default().hidden(40), [30, 6, 30]);
    for widths in [vec![4, 0], vec![WIDTH_MAX + 1, 2]] {
        assert!(Settings { widths, ..sound.clone() }.check().is_err());
    }
    assert!(Settings { batch: 0, ..sound.clone() }.check().is_err());
    assert!(Settings { rate: f32::NAN, ..sound.clone() }.check().is_err());
    assert!(Settings { noise: Noise::Swap(1.0), ..sound }.check().is_err());
}
