"""Real Kafka, PostgreSQL, Ray and Serve on one machine, with one owner that ends them."""
